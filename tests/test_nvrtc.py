"""How the check of spilled registers reads what ptxas says. The logs are those of ptxas 13.2."""

from __future__ import annotations

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
