"""The grid: one layer, training and inference, beside the peers and the rate of the machine's sgemm."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from cpu_speed.contenders import OURS, PEERS, Contender
from cpu_speed.session import Session
from cpu_speed.sizes import MODES, Shape, operations
from cpu_speed.turns import agreement, in_turns, require, warmed

AGREEMENT = 1e-4
"""How far from ours an answer may be: the norm of the difference over the norm, in float32."""

WITH_SGEMM = (*OURS, "torch")

WHAT = (
    "float32, one layer. train: y and the weights' gradients from x and d_y, d_x not asked for. inference: y "
    "alone. Medians of turns; cores: seconds of CPU a second."
)


def run(session: Session, results: dict[str, Any]) -> None:
    """Measure point after point."""
    results["what"] = WHAT
    rows = results["points"] = []
    for threads in session.sizes.threads:
        for cell, shape in session.each(product(session.sizes.cells, session.sizes.shapes)):
            there = session.roster.call((*OURS, *PEERS), threads)
            work = partial(point, session, there, cell, shape, threads, rows)
            session.attempt(f"{cell}, {shape}, threads {threads}", work)


def point(
    session: Session,
    there: dict[str, Contender],
    cell: str,
    shape: Shape,
    threads: int,
    rows: list[dict[str, Any]],
) -> None:
    """Compare the answers of all, then time both modes."""
    sizes = session.sizes
    files = {name: str(session.folder / f"{name}.npz") for name in there}
    for name, contender in there.items():
        contender.ask("forget")
        contender.ask("prepare", job="layer", spec={"cell": cell, **shape._asdict()}, answers=files[name])
    gaps = agreement(files, "rnn_xp")
    require(gaps, AGREEMENT, "y and gradients")
    with_sgemm = [name for name in WITH_SGEMM if name in there]
    for name in with_sgemm:
        there[name].ask("prepare", job="sgemm", spec={"size": sizes.sgemm})
    for mode in MODES:
        turns = {}
        for name, contender in there.items():
            turns[name] = warmed(contender, mode, sizes.block)
            if name in with_sgemm:
                turns[f"{name} sgemm"] = warmed(contender, "sgemm", sizes.block)
        times = in_turns(turns, session.seconds, sizes.turns)
        rate = {name: 2 * sizes.sgemm**3 / times.pop(f"{name} sgemm")["seconds"] for name in with_sgemm}
        row = {"threads": threads, "mode": mode, "cell": cell, **shape._asdict()}
        row |= {"operations": operations(cell, shape, mode), "times": times, "sgemm": rate}
        rows.append({**row, "agreement": gaps})
        told = ", ".join(f"{name} {1000 * own['seconds']:.3g}" for name, own in times.items())
        session.say(f"{cell}, {shape}, {mode}, threads {threads}: ms: {told}")
