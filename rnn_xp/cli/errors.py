"""What goes wrong and can be told in a sentence; everything else is a bug, and keeps its traceback."""

from __future__ import annotations

from rnn_xp import BackendError, CheckpointError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""The exit codes."""


class UsageError(Exception):
    """The command line asks for something that makes no sense."""


KNOWN = (
    UsageError,
    KeyboardInterrupt,
    MemoryError,
    OSError,
    ValueError,
    TypeError,
    FloatingPointError,
    BackendError,
    CheckpointError,
)
"""What the package raises on purpose."""


def told(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the sentence for one of the `KNOWN` errors."""
    words = str(error)
    match error:
        case UsageError():
            return USAGE, words
        case KeyboardInterrupt():
            return INTERRUPTED, words or "interrupted."
        case MemoryError():
            why = f" ({words.rstrip('.')})" if words else ""
            return FAILED, f"out of memory{why}; choose a smaller --batch-size or --hidden-size."
        case OSError(filename=name, strerror=why) if name is not None and why is not None:
            return FAILED, f"{name}: {why}."
    return FAILED, words or type(error).__name__
