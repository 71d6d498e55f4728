"""What goes wrong and can be told in a sentence; everything else is a bug, and keeps its traceback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rnn_xp import BackendError, CheckpointError

DONE, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141
"""The exit codes."""


class UsageError(Exception):
    """The command line asks for something that makes no sense."""


KNOWN = (
    UsageError,
    KeyboardInterrupt,
    SystemExit,
    MemoryError,
    OSError,
    ValueError,
    TypeError,
    FloatingPointError,
    BackendError,
    CheckpointError,
)
"""What the package raises on purpose."""

SAME = (
    "epochs|batch_size|accumulate|shuffle|bucket|seed|patience|clip_norm|clip_value|nonfinite|loss|optimizer|"
    "schedule|truncate|backend|dtype"
)
"""Arguments of `fit` that a training must be asked for again, and options."""

OPTIONS: dict[str, str | Callable[[re.Match[str]], str]] = {
    r'backend="(\w+)"': r"--backend \1",
    r"`clip_norm`": "--clip-norm",
    r"\bbatch_size=(\d+)": r"--batch-size \1",
    r"\bsmaller batch_size\b": "smaller --batch-size",
    r"\brecompute=True\b": "--recompute",
    r"`recompute` must be True, or": "--recompute must be without a number, or with",
    rf"`({SAME})`(?=[^.]* must be as (?:it was|they were))": lambda found: f"--{found[1].replace('_', '-')}",
    r"`sharded`(?=[^.]* must be as (?:it was|they were))": "{rank} in --data",
    r"Give the same (one|ones), or another `checkpoint`\.": (
        r"Give the same \1 (--data), or train anew with another --out."
    ),
    r"(?<=holds everything): resume=True goes on from there": "",
    r'task="regression"': "--targets numbers",
    r"\bjapanese_vowels\b": "japanese-vowels",
    r'(pip install )"rnn-xp(\[\w+\])"(?! \(in a clone)': r'\1"rnn-xp\2" (in a clone: \1".\2")',
}
"""What the library says, as a pattern, and what the command line calls it."""


def told(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the sentence for one of the `KNOWN` errors; notes of it stand at the end."""
    code, sentence = _told(error, in_options(str(error)))
    return code, " ".join([sentence, *getattr(error, "__notes__", ())])


def _told(error: BaseException, words: str) -> tuple[int, str]:
    """Return the exit code and the sentence for an error with these words."""
    match error:
        case UsageError():
            return USAGE, words
        case KeyboardInterrupt():
            return INTERRUPTED, words or "interrupted."
        case SystemExit(code=int(code)):  # a signal came
            return code, words
        case MemoryError() if "out of memory" not in words:
            why = f" ({words.rstrip('.')})" if words else ""
            return FAILED, f"out of memory{why}; choose a smaller --batch-size or --hidden-size."
        case OSError(filename=name, strerror=why) if name is not None and why is not None:
            return FAILED, f"{name}: {why}."
    return FAILED, words or type(error).__name__


def in_options(words: str) -> str:
    """Return the words of the library with the names that its arguments have on the command line."""
    for pattern, option in OPTIONS.items():
        words = re.sub(pattern, option, words)
    return words


@contextmanager
def naming(source: str | None) -> Iterator[None]:
    """Put the name of the file before what is wrong with its content, which is no checkpoint."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if source is None or isinstance(error, OSError | CheckpointError) or str(error).startswith(source):
            raise
        msg = f"{source}: {error}"
        raise ValueError(msg) from error
