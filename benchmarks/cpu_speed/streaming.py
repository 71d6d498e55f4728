"""Streaming: one step of an LSTM at batch 1, states carried from call to call."""

from __future__ import annotations

from functools import partial
from typing import Any

from cpu_speed.contenders import OURS, Contender
from cpu_speed.session import Session
from cpu_speed.turns import agreement, in_turns, require, warmed

STEPS = 20  # whose outputs must agree
AGREEMENT = 1e-5

WHAT = (
    "float32, LSTM, batch 1. rnn_xp: model.stream(params, batch_size=1).step(x). PyTorch: LSTMCell, under "
    "no_grad or inference_mode, the faster one. ONNX Runtime: an LSTM operator of one step, states in and "
    "out. Bare NumPy: a sketch of ten lines."
)


def run(session: Session, results: dict[str, Any]) -> None:
    """Measure each width."""
    results["what"] = WHAT
    rows = results["points"] = []
    for D, H in session.each(session.sizes.stream):
        there = session.roster.call((*OURS, "torch", "onnxruntime", "numpy"))
        session.attempt(f"D {D}, H {H}", partial(point, session, there, D, H, rows))


def point(session: Session, there: dict[str, Contender], D: int, H: int, rows: list[dict[str, Any]]) -> None:
    """Compare the outputs of some steps, then time one."""
    files = {name: str(session.folder / f"{name}.npz") for name in there}
    turns = {}
    for name, contender in there.items():
        contender.ask("forget")
        calls = contender.ask(
            "prepare", job="stream", spec={"D": D, "H": H, "steps": STEPS}, answers=files[name]
        )
        turns |= {(name, call): warmed(contender, call, session.sizes.block) for call in calls}
    gaps = agreement(files, "rnn_xp")
    require(gaps, AGREEMENT, f"outputs of {STEPS} steps")
    found = in_turns(turns, session.seconds, session.sizes.turns)
    times: dict[str, Any] = {}
    for (name, call), own in found.items():
        if name not in times or own["seconds"] < times[name]["seconds"]:
            times[name] = {**own, "call": call}
    rows.append({"D": D, "H": H, "times": times, "agreement": gaps})
    told = ", ".join(f"{name} {1e6 * own['seconds']:.1f}" for name, own in times.items())
    session.say(f"one step, D {D}, H {H}: µs: {told}")
