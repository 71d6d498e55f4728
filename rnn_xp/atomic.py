"""Files that are written whole or not at all.

Content goes to a temporary file beside its target, and the file then takes the target's name. It is locked as
long as its writer lives, whatever ends it: one that nobody locks is of no use to anyone, and is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeAlias

try:
    import fcntl
except ImportError:  # on Windows nothing tells of a dead writer: what it left stays
    fcntl = None  # type: ignore[assignment]

PathLike: TypeAlias = "str | os.PathLike[str]"


def atomic_write(path: PathLike, *data: bytes | memoryview) -> None:
    """Write a file so that at any moment, power loss included, `path` holds the whole old or new content.

    Parameters
    ----------
    path : str or path
        In a directory that exists. A file that is there passes its mode on. A link is replaced by the file,
        and what it names stays as it was. Temporaries that earlier, dead writers of `path` left are removed.
    *data : bytes or memoryview
        The content, in one piece or several.

    Raises
    ------
    OSError
        If the file cannot be written, or `path` names a directory or a device; what was there before is
        still there, and nothing else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     atomic_write(directory + "/file", b"all", b" or nothing")
    ...     Path(directory + "/file").read_bytes()
    b'all or nothing'
    """
    path = Path(path)
    try:
        mode = _mode(path)
        _sweep(path.parent, re.escape(path.name))
        with _temporary(path) as (temporary, file):
            with file:
                if mode is not None:
                    temporary.chmod(mode)
                for piece in data:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # its kind follows from errno


def remove_stale(directory: PathLike) -> None:
    """Remove the temporary files of writers that died; those of living ones, and all other files, stay.

    Parameters
    ----------
    directory : str or path
        What cannot be read or removed stays too, and so does everything on Windows.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     _ = Path(directory, ".model.4711.0123456789abcdef.tmp").write_bytes(b"half a mod")
    ...     remove_stale(directory)
    ...     os.listdir(directory)
    []
    """
    _sweep(Path(directory), ".+")


def _mode(path: Path) -> int | None:
    """Return the permissions of the file that will be replaced; None where there is no file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return mode & 0o777
    if not stat.S_ISLNK(mode):  # a privileged user would replace /dev/null
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EEXIST
        raise OSError(code, os.strerror(code))
    return None


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a new file beside `path`, locked until the end, by which it is renamed or removed."""
    while True:
        temporary = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(8).hex()}.tmp"
        with contextlib.ExitStack() as stack:
            file = open(temporary, "xb")  # noqa: SIM115  # the caller closes it before the renaming
            stack.callback(_unlink, temporary)
            stack.callback(file.close)
            if fcntl is not None:
                lock = os.dup(file.fileno())  # one lock for both: it outlives `file`
                stack.callback(os.close, lock)
                with contextlib.suppress(OSError):  # where files cannot be locked, none is swept
                    fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock).st_nlink == 0:  # swept between its opening and its locking
                    continue
            yield temporary, file
            return


def _sweep(directory: Path, name: str) -> None:
    """Remove what no writer locks of the temporaries whose target's name matches."""
    if fcntl is None:
        return
    pattern = re.compile(rf"\.{name}\.[0-9]+\.[0-9a-f]{{16}}\.tmp", re.DOTALL)
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        found = [entry for entry in entries if pattern.fullmatch(entry.name)]
        for entry in found:
            with contextlib.suppress(OSError):
                _remove_unlocked(entry)


def _remove_unlocked(entry: os.DirEntry[str]) -> None:
    """Remove a file of this user's that nobody has locked."""
    about = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
        return
    descriptor = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(entry.path)
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    """Remove a file that may be gone."""
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_directory(directory: Path) -> None:
    """Make a rename last, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it can be written to and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)
