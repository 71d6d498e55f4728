"""Writing whole or not at all: what a failure, a kill and a full disk leave, and who removes it."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rnn_xp import atomic
from rnn_xp.checkpoint import atomic_write, remove_stale


def test_a_write_replaces_what_was_there(tmp_path):
    for data in (b"one", b"", b"three"):
        atomic_write(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_takes_the_mode_that_the_user_wants(tmp_path):
    atomic_write(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


@pytest.mark.skipif(os.name == "nt", reason="needs rights to make links")
def test_a_link_is_replaced_and_what_it_names_stays(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "link").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="the system has no fsync of directories")
def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        calls.append(
            "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size
        )
        fsync(descriptor)

    def note_replace(source, target):
        calls.append(source.parent == target.parent == tmp_path)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    atomic_write(tmp_path / "file", b"data")
    assert calls == [4, True, "directory"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"No space left on device: '.*file'$"),
        (PermissionError(errno.EACCES, "Permission denied", "x", None, "y"), r"Permission denied: '.*file'$"),
        (KeyboardInterrupt("stop"), "stop"),
        (MemoryError("full"), "full"),
    ],
)
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(function, error, words, tmp_path, monkeypatch):
    def fail(*args):
        raise error

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error), match=words):
        atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="the system has no fsync of directories")
def test_a_file_system_that_cannot_sync_directories(tmp_path, monkeypatch):
    fsync = os.fsync

    def fail(number):
        def only_directories(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))
            fsync(descriptor)

        return only_directories

    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        atomic_write(tmp_path / "file", b"newer")


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    with pytest.raises(FileNotFoundError, match=r"absent.file'$"):
        atomic_write(tmp_path / "absent" / "file", b"")
    with pytest.raises(OSError, match=r"file.below'$"):
        atomic_write(tmp_path / "file" / "below", b"")
    with pytest.raises(OSError, match=r"directory'$"):
        atomic_write(tmp_path / "directory", b"")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["directory", "file"]


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="the system has no fsync of directories")
def test_a_directory_that_cannot_be_read(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, flags, *rest, **more):
        if flags & os.O_DIRECTORY:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_several_pieces(tmp_path):
    atomic_write(tmp_path / "file", b"one", memoryview(b"two"), b"")
    assert (tmp_path / "file").read_bytes() == b"onetwo"


def test_a_file_passes_its_permissions_on_and_no_other_bits(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o4640)
    atomic_write(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(FileExistsError, match=f"File exists: '{path}'"):
            atomic_write(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


# what dead writers leave

KILLED = (
    "import os, signal, sys; from rnn_xp.checkpoint import atomic_write; "
    "setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL)); "
    "atomic_write(sys.argv[1], b'new' * 10**6)"
)
posix = pytest.mark.skipif(os.name == "nt", reason="nothing tells of a dead writer")


@posix
@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize(
    "remover", [lambda path: atomic_write(path, b"old"), lambda path: remove_stale(path.parent)]
)
def test_a_kill_leaves_the_old_file_and_what_the_next_one_removes(moment, remover, tmp_path):
    path = tmp_path / "fi*.le"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, path, moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = (p.name for p in tmp_path.iterdir() if p != path)
    assert re.fullmatch(r"\.fi\*\.le\.\d+\.[0-9a-f]{16}\.tmp", left)
    atomic_write(tmp_path / "other", b"")
    assert (tmp_path / left).exists()  # nobody asked for it
    remover(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fi*.le", "other"]
    assert path.read_bytes() == b"old"


@posix
@pytest.mark.parametrize("remover", [remove_stale, lambda directory: atomic_write(directory / "file", b"2")])
def test_what_a_living_writer_writes_stays(remover, tmp_path, monkeypatch):
    replace, names = os.replace, []

    def interrupted(source, target):
        monkeypatch.setattr(os, "replace", replace)
        names.append(source.name)
        remover(tmp_path)
        assert source.exists()
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    atomic_write(tmp_path / "file", b"1")
    assert (tmp_path / "file").read_bytes() == b"1"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert re.fullmatch(rf"\.file\.{os.getpid()}\.[0-9a-f]{{16}}\.tmp", names[0])


@posix
def test_other_files_stay(tmp_path):
    stale = ".a.12.0123456789abcdef.tmp"
    kept = ["a", ".a.tmp", stale[1:], stale + "~", stale.replace("12", "x"), stale.replace("ab", "AB")]
    for name in (*kept, stale):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / stale.replace("12", "13")).mkdir()
    (tmp_path / stale.replace("12", "14")).symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / stale.replace("12", "15"))
    left = {*kept, *(stale.replace("12", str(i)) for i in (13, 14, 15))}
    remove_stale(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == left
    remove_stale(tmp_path / "absent")


@posix
def test_files_of_other_users_stay(tmp_path, monkeypatch):
    (tmp_path / ".a.12.0123456789abcdef.tmp").write_bytes(b"")
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    remove_stale(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@posix
def test_a_temporary_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    flock, left = atomic.fcntl.flock, [3]

    def sweep_first(descriptor, operation):
        if left[0]:
            left[0] -= 1
            for path in tmp_path.iterdir():
                path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(atomic.fcntl, "flock", sweep_first)
    atomic_write(tmp_path / "file", b"new")
    assert left == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("where", ["no locks", "no module"])
def test_where_files_cannot_be_locked_none_is_removed(where, tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / ".file.12.0123456789abcdef.tmp").write_bytes(b"")
    if where == "no module":
        monkeypatch.setattr(atomic, "fcntl", None)
    else:
        monkeypatch.setattr(atomic.fcntl, "flock", refuse)
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2


# where the system refuses

SAVING = """
import os, sys
import rnn_xp as rx
from rnn_xp import checkpoint
model = rx.Linear(100, 300)
params = model.init(rx.get_backend("numpy"))
{before}
try:
    rx.save(sys.argv[1], model, params)
except OSError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


def save_in_another_process(path, before):
    """Save a model of 120 kB; return the exit code and what was said."""
    command = [sys.executable, "-c", SAVING.format(before=before), str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


@posix
def test_a_file_too_large(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    before = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    assert save_in_another_process(path, before) == (1, f"OSError: [Errno 27] File too large: '{path}'")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@posix
def test_a_full_disk(tmp_path):
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", tmp_path]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no right to make a small disk")
    try:
        path = tmp_path / "model"
        path.write_bytes(b"old" * 10_000)
        code, words = save_in_another_process(path, "")
        assert (code, words) == (1, f"OSError: [Errno 28] No space left on device: '{path}'")
        assert path.read_bytes() == b"old" * 10_000
        assert [p.name for p in tmp_path.iterdir()] == ["model"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@posix
def test_a_directory_that_cannot_be_written_to():
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model")
        path.write_bytes(b"old")
        Path(directory).chmod(0o555)
        before = "if os.geteuid() == 0: os.setuid(65534)"  # the superuser may write everywhere
        words = f"PermissionError: [Errno 13] Permission denied: '{path}'"
        assert save_in_another_process(path, before) == (1, words)
        assert path.read_bytes() == b"old"
        assert os.listdir(directory) == ["model"]
        Path(directory).chmod(0o755)
