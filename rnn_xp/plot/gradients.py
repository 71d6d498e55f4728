"""How far the gradient reaches: the norm of dL/dh_t over the steps, where vanishing and exploding show."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_xp import checks
from rnn_xp.plot import style
from rnn_xp.plot.source import Source, levels_of
from rnn_xp.plot.style import Floats
from rnn_xp.probe import Level


class GradientNorms(NamedTuple):
    """The gradient norms of L levels at T steps, and their picture."""

    names: tuple[str, ...]  # of the levels
    norms: Floats  # (L, T)
    ratios: Floats  # (L,): the norm at the first step that the level read, over that where it comes in
    figure: Any = None
    axes: tuple[Any, ...] = ()

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows."""
        return style.shown(self.figure)


def gradient_norms(
    source: Source, *data: Any, state: str = "h", ax: Any = None, draw: bool = True, **options: Any
) -> GradientNorms:
    """Show the norm of dL/dh_t, the gradient of the loss by the state after step t, for every level.

    The gradient travels back from the step that a level read last to the one that it read first. A line that
    falls by orders of magnitude on this way is the vanishing gradient: the weights hear nothing of what came
    early. One that rises is the exploding gradient.

    Parameters
    ----------
    source : list of Level, or Sequential
        What `rx.probe.look` returned when it was given targets; or a model, followed by what else `look`
        takes: params, X, y, loss=..., lengths=...
    state : str
        The field of the state: "h", or "c" of an LSTM.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    draw : bool
        False for the numbers alone, which need no matplotlib.

    Returns
    -------
    GradientNorms
        `norms` (L, T) is the norm over the sequences and the units, sqrt(sum over N and H of (dL/dh_t)**2);
        where only n of N sequences have a step t, sqrt(N / n) times that. `ratios` (L,) compares the norms at
        every sequence's own first step and at its last one with a gradient: of "c" that is the one before the
        last, where h alone is read there; nan where no step has any. `figure` is None where nothing is drawn.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    ModuleNotFoundError
        If there is no matplotlib to draw with.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.RNN(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> found = rx.plot.gradient_norms(model, params, np.ones((3, 50, 1)), [0, 1, 0], draw=False)
    >>> found.norms.shape, bool(found.ratios[0] < 1e-6)
    ((1, 50), True)
    """
    levels = levels_of(source, data, options)
    gradients = [_gradient(level, state) for level in levels]
    found = GradientNorms(
        tuple(level.name for level in levels),
        np.stack([_norms(level, d) for level, d in zip(levels, gradients, strict=True)]),
        np.array([_ratio(level, d) for level, d in zip(levels, gradients, strict=True)]),
    )
    return _drawn(found, levels, state, ax) if draw else found


def _gradient(level: Level, state: str) -> Floats:
    """Return the gradient by a field of the state, (N, T, H or P)."""
    if level.gradient is None:
        msg = "`source` must hold gradients: give rx.probe.look the targets, `y`; got levels without."
        raise ValueError(msg)
    checks.one_of(f"state` of `{level.name}", state, level.gradient)
    return level.gradient[state].astype(np.float64)


def _norms(level: Level, d: Floats) -> Floats:
    """Return the norms (T,), as if every sequence had every step."""
    having = level.valid.sum(axis=0)
    scale = np.sqrt(len(level.valid) / np.maximum(having, 1))
    return scale * np.sqrt((d**2).sum(axis=(0, 2)))  # type: ignore[no-any-return]


def _ratio(level: Level, d: Floats) -> float:
    """Return the norm over all sequences at their first steps, over that at their last ones with any."""
    onward = slice(None, None, -1 if level.reverse else 1)
    d, valid = d[:, onward], level.valid[:, onward]
    there = (d != 0).any(axis=2)
    own = np.flatnonzero(there.any(axis=1))
    first = valid[own].argmax(axis=1)
    last = there.shape[1] - 1 - there[own][:, ::-1].argmax(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.linalg.norm(d[own, first]) / np.linalg.norm(d[own, last]))


def _drawn(found: GradientNorms, levels: list[Level], state: str, ax: Any) -> GradientNorms:
    """Draw a line for each level."""
    figure, axes = style.panels(ax, 1, 1, 9.0, 3.8)
    ax, T = axes[0], found.norms.shape[1]
    places = [level.name.removesuffix(", forward").removesuffix(", backward") for level in levels]
    order = list(dict.fromkeys(places))
    positive = np.where(found.norms > 0, found.norms, np.nan)  # 0 has no place on a logarithmic axis
    for level, place, norms, ratio in zip(levels, places, positive, found.ratios, strict=True):
        colour = style.COLOURS[order.index(place) % len(style.COLOURS)]
        label = f"{level.name}: {told(ratio)}"
        ax.plot(norms, color=colour, linewidth=1.8, linestyle="--" if level.reverse else "-", label=label)
        ends = [t for t in (0, T - 1) if np.isfinite(norms[t])]
        ax.plot(ends, norms[ends], "o", color=colour, markersize=4)
    norm = rf"$\|\,\partial L\,/\,\partial {state}_t\,\|$"
    style.frame(ax, "Norm of the gradient over time", "time step t", norm)
    style.whole_numbers(ax.xaxis)
    if np.isfinite(positive).any():
        ax.set_yscale("log")
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "alignment": "left"}
    style.legend(ax, title="On its way back through time it", title_fontsize=8, **beside)
    return found._replace(figure=figure, axes=(ax,))


def told(ratio: float) -> str:
    """Say what a ratio means.

    Examples
    --------
    >>> told(1e-5), told(0.5), told(1.0), told(3e12)
    ('shrinks 100,000-fold', 'shrinks 2-fold', 'stays as it is', 'grows 3.0×10¹²-fold')
    """
    if np.isnan(ratio):
        return "is 0, or not finite"
    if ratio == 0 or np.isinf(ratio):
        return "vanishes wholly" if ratio == 0 else "grows beyond all numbers"
    factor = max(ratio, 1 / ratio)
    if factor < 1.05:
        return "stays as it is"
    mantissa, exponent = f"{factor:.1e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    amount = f"{float(f'{factor:.2g}'):,.10g}" if factor < 1e6 else f"{mantissa}×10{power}"
    return f"{'shrinks' if ratio < 1 else 'grows'} {amount}-fold"
