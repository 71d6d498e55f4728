"""What PyTorch is asked: 200 configurations of recurrent layers, and inputs of the losses.

Everything is drawn from NumPy's frozen RandomState, so that only the answers are stored.
Names, shapes and orders are PyTorch's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

COUNT = 200
KINDS = {  # the class, its options, and how many gates it has
    "rnn_tanh": ("RNN", {}, 1),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}, 1),
    "gru": ("GRU", {}, 3),
    "lstm": ("LSTM", {}, 4),
    "lstm_projected": ("LSTM", {}, 4),
}


class Case(NamedTuple):
    """A configuration, with its numbers."""

    kind: str
    layer: str
    sizes: tuple[int, int, int]  # D, H, L
    options: dict[str, Any]
    params: dict[str, np.ndarray]  # by PyTorch's names, in PyTorch's order
    x: np.ndarray
    state_0: tuple[np.ndarray, ...] | None
    lengths: list[int] | None  # in no order, at least 1: PyTorch refuses 0
    d_y: np.ndarray
    d_state_T: tuple[np.ndarray, ...]  # noqa: N815

    @property
    def name(self) -> str:
        """Tell the configuration."""
        parts = [self.kind, *(f"{letter}{size}" for letter, size in zip("DHL", self.sizes, strict=True))]
        parts += ["bidirectional"] * self.options["bidirectional"] + ["bias"] * self.options["bias"]
        parts += ["lengths"] * (self.lengths is not None) + ["state"] * (self.state_0 is not None)
        return "-".join(parts)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the answers, in the order in which they are stored."""
        shapes = {"y": self.d_y.shape}
        shapes.update({f"state_T.{i}": d.shape for i, d in enumerate(self.d_state_T)})
        shapes.update({f"d_{name}": value.shape for name, value in self.params.items()})
        shapes["d_x"] = self.x.shape
        shapes.update({f"d_state_0.{i}": s.shape for i, s in enumerate(self.state_0 or ())})
        return shapes


def case(index: int) -> Case:
    """Return one configuration: the 60 of kind, depth, direction and bias; first with lengths and states."""
    random = np.random.RandomState(index)
    kind = list(KINDS)[index % 5]
    layer, extra, gates = KINDS[kind]
    L, bidirectional, bias = index // 5 % 3 + 1, bool(index // 15 % 2), bool(index // 30 % 2)
    T, B, D, H = (int(random.randint(1, top + 1)) for top in (6, 3, 4, 4))
    has_lengths, has_state = ((True, True), (True, False), (False, True), (False, False))[index // 60]
    options = {"bidirectional": bidirectional, "bias": bias, **extra}
    out = H
    if kind == "lstm_projected":
        H += 1
        options["proj_size"] = out = int(random.randint(1, H))

    params: dict[str, np.ndarray] = {}
    for depth in range(L):
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            size = D if depth == 0 else out * (1 + bidirectional)
            shapes = {"weight_ih": (gates * H, size), "weight_hh": (gates * H, out)}
            shapes.update({"bias_ih": (gates * H,), "bias_hh": (gates * H,)} if bias else {})
            shapes.update({"weight_hr": (out, H)} if kind == "lstm_projected" else {})
            for name, shape in shapes.items():
                params[f"{name}_l{depth}{suffix}"] = 0.7 * random.standard_normal(shape)

    fields = [(L * (1 + bidirectional), B, out), (L * (1 + bidirectional), B, H)][: 1 + (layer == "LSTM")]
    return Case(
        kind,
        layer,
        (D, H, L),
        options,
        params,
        x=random.standard_normal((T, B, D)),
        state_0=tuple(random.standard_normal(shape) for shape in fields) if has_state else None,
        lengths=[int(n) for n in random.randint(1, T + 1, B)] if has_lengths else None,
        d_y=random.standard_normal((T, B, out * (1 + bidirectional))),
        d_state_T=tuple(random.standard_normal(shape) for shape in fields),
    )


class LossCase(NamedTuple):
    """Inputs of a loss."""

    y: np.ndarray  # (N, K)
    target: np.ndarray  # (N,) classes, or (N, K) numbers
    d_loss: np.ndarray  # (N,)


def loss_cases() -> dict[str, dict[str, LossCase]]:
    """Return the inputs by loss and kind: ordinary ones for several K, then outputs of up to a thousand."""
    cases: dict[str, dict[str, LossCase]] = {}
    for seed, loss in enumerate(("cross_entropy", "binary_cross_entropy", "squared_error", "huber")):
        random = np.random.RandomState(seed)
        cases[loss] = {}
        for K in (1, 2, 5):
            for scale in (2.0, 1000.0):
                y = random.standard_normal((6, K)) * 2.0
                if scale > 2.0:
                    y = np.where(random.uniform(size=(6, K)) < 0.5, -scale, scale)
                target = {
                    "cross_entropy": random.randint(0, K, 6),
                    "binary_cross_entropy": random.randint(0, 2, (6, K)).astype(np.float64),
                }.get(loss, random.standard_normal((6, K)))
                cases[loss][f"K{K}_scale{scale:g}"] = LossCase(y, target, random.standard_normal(6))
    return cases
