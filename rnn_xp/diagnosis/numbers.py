"""The numbers that a diagnosis looked at, whatever it found."""

from __future__ import annotations

from typing import Any

from rnn_xp.diagnosis import labels, units
from rnn_xp.diagnosis.case import Case


def numbers(case: Case) -> dict[str, Any]:
    """Return them by name, in JSON values."""
    T, N = case.data.x.shape[:2]
    found: dict[str, Any] = {
        "sequences": N,
        "steps": T,
        "looked into": case.few.x.shape[1],
        "loss": case.scores["loss"],
        "loss of one answer for all": case.prior,
    }
    curve = case.curve("loss")
    if len(curve):
        found |= {"epochs": len(curve), "training loss": [float(curve[0]), float(curve[-1])]}
        found["learning rate"] = case.rate
    if case.prior <= labels.CONSTANT:
        return found
    found |= {
        "explained by the network": case.explained,
        "explained by a linear map": case.readout.share,
    }
    for level, flow in zip(case.levels, case.flows, strict=True):
        gate, share = units.most(level)
        found[level.name] = {
            **({f"{gate} at a bound": share} if gate else {}),
            "units that never move": int(units.still(level).sum()),
            "gradient reaches back": flow.reach,
            "gradient grows by": flow.growth,
        }
    return found
