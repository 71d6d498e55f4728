"""The recurrent layers of the cells that everybody knows, with PyTorch's arguments, and ONNX's further ones.

An activation is a name of `rnn_xp.cells.activations.ACTIVATIONS`, or a tuple of a name and its constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnn_xp import checks
from rnn_xp.cells import Cell, gru, lstm, normalized, rnn
from rnn_xp.cells.activations import Name
from rnn_xp.layers.recurrent import Recurrent


class _Named(Recurrent):
    """A recurrent layer whose options are read off the formula of its cell."""

    @property
    def layer_norm(self) -> bool:
        """Whether the pre-activations are normalised."""
        return isinstance(self._last, normalized.Normalized)

    @property
    def _last(self) -> Any:
        """The formula of the last pair."""
        return self.cell.pairs[-1].forward.__self__  # type: ignore[attr-defined]

    @property
    def _formula(self) -> Any:
        """The formula that knows all options but the normalisation."""
        return self._last.inner.forward.__self__ if self.layer_norm else self._last


@dataclass(frozen=True, init=False, repr=False)
class RNN(_Named):
    """Elman RNN; `nonlinearity` is "tanh", "relu" or another activation. The rest is as in `Recurrent`.

    Parameters
    ----------
    nonlinearity : str or tuple
    clip : float, optional
        The activation's input is held within -clip .. clip.
    layer_norm : bool
        Whether the pre-activations are normalised over the units (`rnn_xp.cells.normalized`).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> backend = rx.get_backend("numpy", dtype="float64")
    >>> layer = rx.RNN(3, 4, nonlinearity="relu")
    >>> params = layer.init(backend, seed=0)
    >>> y, state_T, tape = layer.forward(params, backend.asarray([[[1.0, 2.0, 3.0]]] * 5))
    >>> y.shape, state_T.h.shape
    ((5, 1, 4), (1, 1, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: Name = "tanh",
        bias: bool | str = True,
        bidirectional: bool = False,
        reverse: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        learn_state: bool = False,
        clip: float | None = None,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(
            _cell(rnn.cell(nonlinearity, clip=clip), layer_norm),
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            reverse=reverse,
            dropout=dropout,
            variational=variational,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            learn_state=learn_state,
        )

    @property
    def nonlinearity(self) -> Name:
        """The function of the step."""
        return self._formula.f.spec  # type: ignore[no-any-return]

    @property
    def clip(self) -> float | None:
        """What the activation's input is held within."""
        return self._formula.f.clip  # type: ignore[no-any-return]


@dataclass(frozen=True, init=False, repr=False)
class GRU(_Named):
    """Gated recurrent unit (Cho et al. 2014), gates r, z, n. The rest is as in `Recurrent`.

    Parameters
    ----------
    reset : {"after", "before"}
        Whether the reset gate acts after the candidate's product (PyTorch, cuDNN) or before it (the paper).
    activations : sequence of two
        Of the gates, and of the candidate.
    clip : float, optional
        The activations' inputs are held within -clip .. clip.
    layer_norm : bool
        Whether the pre-activations are normalised over the units (`rnn_xp.cells.normalized`).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> rx.GRU(3, 4, reset="before").init(rx.get_backend("numpy"), seed=0)[0].weight_hh.shape
    (12, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset: str = "after",
        bias: bool | str = True,
        bidirectional: bool = False,
        reverse: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        learn_state: bool = False,
        activations: Sequence[Name] = gru.USUAL,
        clip: float | None = None,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(
            _cell(gru.cell(reset, activations, clip=clip), layer_norm),
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            reverse=reverse,
            dropout=dropout,
            variational=variational,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            learn_state=learn_state,
        )

    @property
    def reset(self) -> str:
        """Where the reset gate acts."""
        return "after" if len(self.cell.pairs) == 1 else "before"

    @property
    def activations(self) -> tuple[Name, ...]:
        """Those of the gates and of the candidate."""
        formula = self._formula
        return formula.gate.spec, formula.candidate.spec

    @property
    def clip(self) -> float | None:
        """What the activations' inputs are held within."""
        return self._formula.gate.clip  # type: ignore[no-any-return]


@dataclass(frozen=True, init=False, repr=False)
class LSTM(_Named):
    """Long short-term memory; gates i, f, g, o. The rest is as in `Recurrent`.

    Parameters
    ----------
    proj_size : int
        Size of h after a projection (Sak et al. 2014); 0 for none.
    activations : sequence of three
        Of the gates, of the candidate, and of the output, between c and h.
    peepholes : bool
        Whether i and f see the memory before the step, and o the one after it (Gers et al. 2002).
    coupled : bool
        Whether f is 1 - i.
    clip : float, optional
        The inputs of the gates' and the candidate's activations are held within -clip .. clip; c is not.
    layer_norm : bool
        Whether the pre-activations are normalised over the units (`rnn_xp.cells.normalized`); c is not.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> layer = rx.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> params = layer.init(rx.get_backend("numpy"), seed=0)
    >>> len(params), params[2].weight_ih.shape
    (4, (16, 8))
    >>> rx.LSTM(3, 4, peepholes=True).init(rx.get_backend("numpy"), seed=0)[0].vectors.shape
    (3, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool | str = True,
        bidirectional: bool = False,
        reverse: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, ...] = 0.0,
        learn_state: bool = False,
        proj_size: int = 0,
        activations: Sequence[Name] = lstm.USUAL,
        peepholes: bool = False,
        coupled: bool = False,
        clip: float | None = None,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(
            _cell(lstm.cell(activations, peepholes=peepholes, coupled=coupled, clip=clip), layer_norm),
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            reverse=reverse,
            dropout=dropout,
            variational=variational,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            learn_state=learn_state,
            proj_size=proj_size,
        )

    @property
    def activations(self) -> tuple[Name, ...]:
        """Those of the gates, of the candidate and of the output."""
        formula = self._formula
        return formula.gate.spec, formula.candidate.spec, formula.output.spec

    @property
    def peepholes(self) -> bool:
        """Whether the gates see the memory."""
        return self._formula.peepholes  # type: ignore[no-any-return]

    @property
    def coupled(self) -> bool:
        """Whether f is 1 - i."""
        return self._formula.coupled  # type: ignore[no-any-return]

    @property
    def clip(self) -> float | None:
        """What the activations' inputs are held within."""
        return self._formula.gate.clip  # type: ignore[no-any-return]


def _cell(cell: Cell, layer_norm: bool) -> Cell:
    """Return the cell, normalised where it is to be."""
    return normalized.cell(cell) if checks.one_of("layer_norm", layer_norm, (True, False)) else cell
