"""The command line among other programs: closed, full and broken streams, Ctrl-C, links and pipes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import cli
from rnn_xp.cli import interrupt, main

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX streams and signals")

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(rx.__file__).parents[1])}
QUICK = "train --epochs 1 --batch-size 500"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Train a model, and keep its data beside it."""
    path = tmp_path_factory.mktemp("streams")
    np.savez(path / "data.npz", X=np.ones((4, 3, 2)), y=np.array(["a", "b", "a", "b"]))
    assert main(["train", "--data", f"{path}/data.npz", "--epochs", "1", "--out", f"{path}/run"]) == 0
    return path


def shell(command, cwd):
    """Run a command of a shell in which `rnn-xp` is this package; bash tells of every part of a pipe."""
    script = f'rnn-xp() {{ "{sys.executable}" -m rnn_xp "$@"; }}\n{command}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, cwd=cwd)


COMMANDS = [QUICK, "evaluate run --data data.npz", "predict run --data data.npz", "doctor", "train --help"]


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_streams(folder, command):
    done = shell(f"rnn-xp {command} >&- 2>&-", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_reads(folder, command):
    done = shell(f"rnn-xp {command} | true; exit ${{PIPESTATUS[0]}}", folder)
    assert (done.returncode, done.stdout, done.stderr) == (141, "", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(folder, command):
    done = shell(f"rnn-xp {command} >/dev/full", folder)
    assert done.returncode == 1
    assert done.stderr == "rnn-xp: error: standard output: No space left on device.\n"


def test_json_without_standard_error(folder):
    done = shell(f"rnn-xp {QUICK} --json 2>&-", folder)
    assert done.returncode == 0
    assert '{"result": ' in done.stdout.splitlines()[-1]


def test_errors_without_standard_error(folder):
    assert shell("rnn-xp train --lr 0 2>&-", folder).returncode == 2
    assert shell("rnn-xp train --lr 0 2>/dev/full", folder).returncode == 2


def test_nothing_read_leaves_no_directory(folder):
    shell("rnn-xp train --epochs 1000 --out unread | true", folder)
    assert not (folder / "unread").exists()


def test_characters_that_the_terminal_lacks(folder):
    (folder / "text").write_text("\ufeff" + "żółw\n" * 60, encoding="utf-8")
    command = "train --task text --data text --epochs 1 --hidden-size 2 --window 9 --out turtles"
    done = shell(f"PYTHONIOENCODING=ascii rnn-xp {command}", folder)
    assert done.returncode == 0, done.stderr
    assert "5 different characters" in done.stdout  # the byte order mark is none of them
    sample = done.stdout.split("0.7:\n")[1]
    assert "?" in sample
    assert not sample[0].isspace()


# Ctrl-C


@pytest.mark.parametrize("delay", [0.08, 0.13, 0.18])
def test_ctrl_c_while_python_imports(delay):
    code = (
        "import sys; from rnn_xp.cli import main; sys.stdout.write('.'); sys.stdout.flush(); "
        "sys.exit(main(['train', '--epochs', '100000', '--json']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.read(1) == b"."
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith(b"rnn-xp: error: interrupted")
    assert b"Traceback" not in err


def test_what_is_loaded_before_ctrl_c_is_heard():
    code = "import sys; import rnn_xp.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


def test_handlers_of_ctrl_c():
    def now():
        return signal.getsignal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with interrupt.at_once():
            assert now() is interrupt.leave
            with interrupt.gently():
                assert now() is signal.default_int_handler
            assert now() is interrupt.leave
        assert now() is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupt.at_once(), interrupt.gently():
            assert now() is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_main_in_another_thread(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(cli.main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert capsys.readouterr().out == f"rnn-xp {rx.__version__}\n"


# files to write


def test_predictions_go_into_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    done = shell("cat pipe & rnn-xp predict run --data data.npz --out pipe; wait", folder)
    assert done.stdout.startswith("id,label,p_a,p_b\n")
    assert (folder / "pipe").is_fifo()
    done = shell("rnn-xp predict run --data data.npz --out /dev/stdout | cat", folder)
    assert done.stdout.startswith("id,label,p_a,p_b\n")
    assert shell("rnn-xp predict run --data data.npz --out /dev/null", folder).returncode == 0
    assert Path("/dev/null").is_char_device()


def test_predictions_follow_a_link_and_keep_the_mode(folder):
    (folder / "target.csv").touch(mode=0o600)
    (folder / "link.csv").symlink_to("target.csv")
    argv = ["predict", f"{folder}/run", "--data", f"{folder}/data.npz", "--out", f"{folder}/link.csv"]
    assert main(argv) == 0
    assert (folder / "link.csv").is_symlink()
    assert (folder / "target.csv").read_text().startswith("id,label")
    assert (folder / "target.csv").stat().st_mode & 0o777 == 0o600
