"""How the check of spilled registers reads what ptxas says. The logs are those of ptxas 13.2."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from nvrtc.ptxas import Usage, usage

CLEAN = """\
default_program(54): warning #549-D: variable "v4" is used before its value is set
ptxas info    : 16 bytes gmem, 72 bytes cmem[4]
ptxas info    : Compiling entry function 'rnn_xp_lstm_forward' for 'sm_80'
ptxas info    : Function properties for rnn_xp_lstm_forward
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 56 registers, used 0 barriers, 888 bytes cmem[0]
ptxas info    : Compile time = 8.855 ms
"""
SPILLED = """\
ptxas info    : 18 bytes gmem
ptxas info    : Compiling entry function 'rnn_xp_lstm_forward' for 'sm_90'
ptxas info    : Function properties for rnn_xp_lstm_forward
ptxas         .     120 bytes stack frame, 212 bytes spill stores, 140 bytes spill loads
ptxas info    : Used 24 registers, used 0 barriers, 120 bytes cumulative stack size
ptxas info    : Compile time = 17.027 ms
"""
CALLING = """\
ptxas info    : 4 bytes gmem
ptxas info    : Compiling entry function 'calls' for 'sm_90'
ptxas info    : Function properties for calls
ptxas         .     32 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 29 registers, used 0 barriers, 32 bytes cumulative stack size
ptxas info    : Compile time = 11.824 ms
ptxas info    : Function properties for _Z5twicePfi
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""


@pytest.mark.parametrize(
    ("log", "kernel", "arch", "expected"),
    [
        (CLEAN, "rnn_xp_lstm_forward", "sm_80", Usage(56, stack=0, spill_stores=0, spill_loads=0)),
        (SPILLED, "rnn_xp_lstm_forward", "sm_90", Usage(24, stack=120, spill_stores=212, spill_loads=140)),
        (CALLING, "calls", "sm_90", Usage(29, stack=32, spill_stores=0, spill_loads=0)),
    ],
)
def test_what_ptxas_says_is_read(log: str, kernel: str, arch: str, expected: Usage) -> None:
    assert usage(log, kernel, arch) == expected


def test_what_a_called_function_spills_counts() -> None:
    head, _, called = CALLING.rpartition("0 bytes spill stores, 0 bytes")
    log = f"{head}8 bytes spill stores, 4 bytes{called}"
    assert usage(log, "calls", "sm_90") == Usage(29, stack=32, spill_stores=8, spill_loads=4)


@pytest.mark.parametrize(
    "missing", ["Compiling entry", "Function properties", "stack frame", "registers", "\n"]
)
def test_a_log_that_does_not_say_all_is_refused(missing: str) -> None:
    log = "".join(line for line in CLEAN.splitlines(keepends=True) if missing not in line)
    with pytest.raises(ValueError, match=r"^ptxas must say what rnn_xp_lstm_forward uses on sm_80; it said "):
        usage(log, "rnn_xp_lstm_forward", "sm_80")


@pytest.mark.parametrize(
    ("kernel", "arch"), [("rnn_xp_lstm_backward", "sm_80"), ("rnn_xp_lstm_forward", "sm_90")]
)
def test_the_log_of_another_kernel_or_architecture_is_refused(kernel: str, arch: str) -> None:
    with pytest.raises(ValueError, match=rf"ptxas must say what {kernel} uses on {arch}; it said .*Used 56 "):
        usage(CLEAN, kernel, arch)


RUN = Path(__file__).resolve().parent / "nvrtc" / "run.py"
WITHOUT_NVRTC = f"""
import runpy, sys
from cupy.cuda import nvrtc
def absent():
    raise RuntimeError("libnvrtc.so.13 is not here\\nnor there")
nvrtc.getVersion = absent
sys.argv, sys.path[:0] = [{str(RUN)!r}], [{str(RUN.parent)!r}]
runpy.run_path({str(RUN)!r}, run_name="__main__")
"""


def started(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Start Python in a folder."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="needs the CuPy wheel")
class TestCompiling:
    """What is refused before a kernel is compiled."""

    @pytest.mark.parametrize(
        ("out", "why"),
        [("nowhere/record.json", "a file in a folder that is there"), (".", "a file, or nothing yet")],
    )
    def test_a_record_that_could_not_be_written_is_refused(self, out: str, why: str, tmp_path: Path) -> None:
        process = started(str(RUN), "--out", out, folder=tmp_path)
        assert process.returncode == 2
        assert f"--out must name {why}" in process.stderr
        assert list(tmp_path.iterdir()) == []

    def test_without_nvrtc_there_is_one_message(self, tmp_path: Path) -> None:
        process = started("-c", WITHOUT_NVRTC, folder=tmp_path)
        assert (process.returncode, process.stdout) == (1, "")
        (told,) = process.stderr.splitlines()
        assert told.startswith("NVRTC cannot be loaded: libnvrtc.so.13 is not here. Install it: pip install ")
