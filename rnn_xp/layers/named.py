"""The recurrent layers of the cells that everybody knows, with PyTorch's arguments."""

from __future__ import annotations

from dataclasses import dataclass

from rnn_xp import checks
from rnn_xp.cells import CELLS, gru, lstm, rnn
from rnn_xp.layers.recurrent import Recurrent


@dataclass(frozen=True, init=False, repr=False)
class RNN(Recurrent):
    """Elman RNN; `nonlinearity` is "tanh" or "relu". The rest is as in `Recurrent`.

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
        nonlinearity: str = "tanh",
        bias: bool | str = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        cell = CELLS["rnn_" + checks.one_of("nonlinearity", nonlinearity, ("tanh", "relu"))]
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias=bias, bidirectional=bidirectional, dropout=dropout
        )

    @property
    def nonlinearity(self) -> str:
        """The function of the step."""
        return "relu" if self.cell is rnn.RELU else "tanh"


@dataclass(frozen=True, init=False, repr=False)
class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), gates r, z, n; `reset` is "after" (PyTorch, cuDNN) or "before".

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
        dropout: float = 0.0,
    ) -> None:
        cell = {"after": gru.AFTER, "before": gru.BEFORE}[checks.one_of("reset", reset, ("after", "before"))]
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias=bias, bidirectional=bidirectional, dropout=dropout
        )

    @property
    def reset(self) -> str:
        """Where the reset gate acts."""
        return "before" if self.cell is gru.BEFORE else "after"


@dataclass(frozen=True, init=False, repr=False)
class LSTM(Recurrent):
    """Long short-term memory; gates i, f, g, o; `proj_size` projects h (Sak et al. 2014).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> layer = rx.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> params = layer.init(rx.get_backend("numpy"), seed=0)
    >>> len(params), params[2].weight_ih.shape
    (4, (16, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool | str = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
        proj_size: int = 0,
    ) -> None:
        super().__init__(
            lstm.LSTM,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            dropout=dropout,
            proj_size=proj_size,
        )
