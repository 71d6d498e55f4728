"""What a recurrent matrix does to a state: its eigenvalues beside the unit circle."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.model import Sequential
from rnn_xp.plot import style
from rnn_xp.plot.source import Source, levels_of
from rnn_xp.probe import Level


class Block(NamedTuple):
    """The recurrent matrix of one gate."""

    level: str
    gate: str
    eigenvalues: NDArray[np.complex128]  # (H,), or (P,) with a projection
    radius: float  # the largest of their magnitudes


class Spectrum(NamedTuple):
    """The spectra of all levels and gates, and their picture."""

    blocks: tuple[Block, ...]
    figure: Any = None
    axes: tuple[Any, ...] = ()

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows."""
        return style.shown(self.figure)


def spectrum(source: Source, *data: Any, ax: Any = None, draw: bool = True, **options: Any) -> Spectrum:
    """Show the eigenvalues of the recurrent matrix, for each gate, in the complex plane.

    Of an RNN whose units are near 0, what is along an eigenvector is multiplied by its eigenvalue at every
    step: within the unit circle it fades, outside it grows. In a GRU and an LSTM the gates decide, too; the
    block of the candidate (n, g) is the one to compare.

    Parameters
    ----------
    source : list of Level, or Sequential
        What `rx.probe.look` returned; or a model, followed by its params.
    ax : matplotlib Axes, or several, optional
        Where to draw the panels, in order; a new figure by default.
    draw : bool
        False for the numbers alone, which need no matplotlib.

    Returns
    -------
    Spectrum
        `blocks`: one for each gate, level by level. With a projection, the matrix is weight_hr @ W_hh.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    ModuleNotFoundError
        If there is no matplotlib to draw with.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model = rx.Sequential(rx.RNN(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> params = model.init(rx.get_backend("numpy"), init="orthogonal")
    >>> (block,) = rx.plot.spectrum(model, params, draw=False).blocks
    >>> block.eigenvalues.shape, round(block.radius, 5)
    ((8,), 1.0)
    """
    if isinstance(source, Sequential) and len(data) == 1:  # the weights alone matter
        tokens = source.intake.kind == "tokens"
        x = np.zeros((1, 1), dtype=np.int64) if tokens else np.zeros((1, 1, source.intake.size or 1))
        data = (*data, x)
    levels = levels_of(source, data, options)
    found = Spectrum(tuple(block for level in levels for block in _blocks(level)))
    return _drawn(found, ax) if draw else found


def _blocks(level: Level) -> list[Block]:
    """Return the spectrum of each gate's matrix, (H, H) or (P, P)."""
    names, weights = level.layer.cell.gates, np.asarray(level.params.weight_hh)
    found = []
    for name, matrix in zip(names, np.split(weights, len(names)), strict=True):
        if level.params.weight_hr is not None:
            matrix = level.params.weight_hr @ matrix
        values = np.linalg.eigvals(matrix.astype(np.float64)).astype(np.complex128)
        found.append(Block(level.name, name, values, float(np.abs(values).max())))
    return found


def _drawn(found: Spectrum, ax: Any) -> Spectrum:
    """Draw a panel for each gate, a row for each level."""
    rows = [block.level for block in found.blocks]
    figure, axes = style.panels(ax, len(rows), style.columns_of(rows), 2.6, 3.0)
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    reach = 1.12 * max(1.0, *[block.radius for block in found.blocks])
    for i, (each, block) in enumerate(zip(axes, found.blocks, strict=False)):
        first = i == rows.index(block.level)
        each.fill(circle.real, circle.imag, color=style.COLOURS[5], alpha=0.12, linewidth=0)
        each.plot(circle.real, circle.imag, color=style.FAINT, linewidth=1)
        inside = np.abs(block.eigenvalues) <= 1
        for own, colour in ((inside, style.COLOURS[0]), (~inside, style.COLOURS[1])):
            values = block.eigenvalues[own]
            each.scatter(values.real, values.imag, s=16, color=colour, edgecolors="white", linewidths=0.4)
        title = f"{block.level}\n" if first else ""
        title += f"{block.gate}: radius {block.radius:.3g}"
        style.frame(each, title, "real part", "imaginary part" if first else "", grid="both")
        each.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        for axis in (each.xaxis, each.yaxis):
            style.whole_numbers(axis)
    return found._replace(figure=figure, axes=tuple(axes))
