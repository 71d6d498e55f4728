"""What a user of the file calls: the ways into the model, around the package's own functions.

It is source to be taken apart, as theirs is: `facts` says which of it a model needs.
"""

ENTRIES = '''
import sys
from typing import NamedTuple

import numpy as np

from rnn_xp.layers.base import Signal
from rnn_xp.model import Sequential
from rnn_xp.stream import _part
from rnn_xp.train.predict import _outputs


def predict(X, lengths=None, batch_size=256):
    """Return the outputs (N, K) for sequences X (N, T, C), or (N, T, K) where there is one for each step.

    X may be a list of unequal sequences (T_i, C). Where the model takes tokens, X (N, T) holds integers.
    Steps past `lengths` (N,) do not count.
    """
    outputs = _outputs(MODEL, PARAMS, prepared(X, lengths), batch_size)
    return outputs.swapaxes(0, 1) if MODEL.per_step else outputs


def labels(outputs):
    """Return the name in CLASSES for each row of what `predict` returned."""
    if one_output:
        outputs = np.concatenate([1 - outputs, outputs], axis=-1)
    return np.array(CLASSES)[np.argmax(outputs, axis=-1)]


class Data(NamedTuple):
    """Sequences as the model takes them."""

    x: object  # (T, N, C), or tokens (T, N)
    lengths: object  # (N,); None: all have T steps
    mask: object  # (T, N), which steps count; None: all


def prepared(X, lengths):
    """Return sequences time-major, in the model's precision and 0 where no step counts."""
    if lengths is None and isinstance(X, list | tuple) and len({np.shape(row) for row in X}) > 1:
        rows = [np.asarray(row) for row in X]
        lengths = [len(row) for row in rows]
        X = np.zeros((len(rows), max(lengths), *rows[0].shape[1:]), KIND)
        for place, row in zip(X, rows, strict=True):
            place[: len(row)] = row
    X = np.asarray(X)
    if X.ndim == 2 and not tokens:
        X = X[:, :, np.newaxis]
    if tokens and (X.ndim != 2 or X.dtype.kind not in "iu"):
        msg = f"`X` must be integer tokens (N, T); got {X.dtype} of shape {X.shape}."
        raise ValueError(msg)
    if not tokens and (X.ndim != 3 or X.shape[2] != INPUT_SIZE or X.dtype.kind not in "biuf"):
        msg = f"`X` must be numbers (N, T, C) with C = {INPUT_SIZE}; got {X.dtype} of shape {X.shape}."
        raise ValueError(msg)
    N, T = X.shape[:2]
    ends = np.full(N, T) if lengths is None else np.asarray(lengths)
    if N * T == 0 or ends.shape != (N,) or ends.dtype.kind not in "iu" or ends.min() < 0 or ends.max() > T:
        msg = f"`lengths` must hold N = {N} integers in 0..T with T = {T}, and X a step; got {lengths!r}."
        raise ValueError(msg)
    with np.errstate(all="ignore"):  # padding may hold anything
        X = SCALING.apply(X) if scaled else X
        x = X.swapaxes(0, 1).astype(KIND if tokens else DTYPE, order="C")
    mask = np.arange(T)[:, np.newaxis] < ends
    x[~mask] = 0
    if tokens and (x.min() < 0 or x.max() >= INPUT_SIZE):
        msg = f"`X` must hold tokens in 0..{INPUT_SIZE - 1}; got {x.min()}..{x.max()}."
        raise ValueError(msg)
    if not np.isfinite(x).all():
        msg = f"`X` must be finite in every step that counts, and fit {DTYPE}."
        raise ValueError(msg)
    return Data(x, None, None) if (ends == T).all() else Data(x, ends, mask)


class Stream:
    """The model at the start of `batch_size` sequences whose steps arrive one by one."""

    def __init__(self, batch_size=1):
        new = {"dtype": np.dtype(DTYPE), "device": "cpu"}
        self._model = _part(MODEL, PARAMS, batch_size, new, xp=np)
        self._batch_size = batch_size
        self.reset()

    def step(self, x):
        """Read one step of each sequence, (B, C) or tokens (B,), and return the outputs (B, K) after it."""
        x = prepared(np.asarray(x)[:, np.newaxis], None).x[0]
        if len(x) != self._batch_size:
            msg = f"`x` must have a row for each of {self._batch_size} sequences; got {len(x)}."
            raise ValueError(msg)
        return probabilities(self._model.step(x))

    def reset(self):
        """Begin anew."""
        self._model.restart(None)


def in_a_row(layers, kind, size):
    """Return the model of layers that are fitted to one another; `kind` and `size` are its output's."""
    model = Sequential.__new__(Sequential)
    model._assemble(layers, Signal(kind, size))
    return model
'''

MAIN = """
if __name__ == "__main__":
    for output in predict(np.load(sys.argv[1])):
        print(output.tolist())
"""

LABELLED = """
if __name__ == "__main__":
    for output in predict(np.load(sys.argv[1])):
        print(labels(output).tolist(), output.tolist())
"""
