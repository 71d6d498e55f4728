"""The file of a model: its code, its weights, and how it is built."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from rnn_xp import checks, tree
from rnn_xp.backend import to_numpy
from rnn_xp.data import Scaling
from rnn_xp.data.arguments import names
from rnn_xp.interop.standalone.entries import ENTRIES, LABELLED, MAIN
from rnn_xp.interop.standalone.facts import LEFT_OUT, facts, traits_of, within
from rnn_xp.interop.standalone.fold import fold
from rnn_xp.interop.standalone.modules import Library, Symbol
from rnn_xp.interop.standalone.objects import Writer, Written
from rnn_xp.interop.standalone.shake import Shaker
from rnn_xp.layers import LAYERS
from rnn_xp.losses import LOSSES
from rnn_xp.model import Sequential
from rnn_xp.typing import Tree

ENTRY = "entries"
GIVEN = ("MODEL", "PARAMS", "WEIGHTS", "SCALING", "CLASSES", "DTYPE", "INPUT_SIZE", "base64", "sys")
"""Names that the file has beside its definitions."""

ARRAY = '''
def _array(shape, dtype, text):
    """Return the array whose little-endian bytes these are."""
    data = np.frombuffer(base64.b64decode(text), np.dtype(dtype).newbyteorder("<"))
    return data.astype(dtype).reshape(shape)
'''


class Parts:
    """What the file holds, and what it is put together from.

    Parameters
    ----------
    model, params, loss, scaling, classes
        As `source` takes them.
    """

    def __init__(
        self,
        model: Sequential,
        params: Tree,
        loss: str | None,
        scaling: Scaling | None,
        classes: Sequence[str] | None,
    ) -> None:
        self.model, self.loss, self.scaling, self.classes = model, loss, scaling, classes
        self.leaves = [(name, to_numpy(leaf)) for name, leaf in tree.named_leaves(params)]
        self.objects: dict[str, Any] = {
            "SCALING": scaling,
            "CLASSES": None if classes is None else tuple(classes),
            "DTYPE": self.leaves[0][1].dtype.name if self.leaves else "float32",
            "INPUT_SIZE": model.intake.size,
            "MODEL": model,
            "PARAMS": tree.unflatten(params, [Written(f'WEIGHTS["{name}"]') for name, _ in self.leaves]),
        }
        known = facts(traits_of(model, loss, scaling is not None))
        self.library = Library(lambda name, parsed: fold(parsed, known.get(name, {})))
        self.library.add(ENTRY, ENTRIES)
        self.shaker = Shaker(self.library, LEFT_OUT, GIVEN)
        self.shaker.reach([Symbol(ENTRY, name) for name in self.entries])
        self._reach_objects()
        self.names = self.shaker.names()
        self.shaker.rename(self.names)

    @property
    def entries(self) -> list[str]:
        """What is called from outside, and here."""
        streamed, named = self.model.causal, self.classes is not None
        return ["predict", "in_a_row", *["labels"] * named, *["Stream"] * streamed]

    def _reach_objects(self) -> None:
        """Take what the objects are made of, and the numbers that users' functions read."""
        while True:
            before = len(self.shaker.values)
            for value in [*self.objects.values(), *self.shaker.values.values()]:
                self.shaker.reach(map(self.library.symbol_of, _symbols(value)))
            if len(self.shaker.values) == before:
                return

    def text(self) -> Iterator[str]:
        """Yield the parts of the file."""
        writer = Writer(lambda value: self.names[self.library.symbol_of(value)])
        definitions = list(self.shaker.text(self.names, ENTRY))
        used = "".join(definitions)
        yield from self._head()
        yield from self._imports()
        values = {symbol: writer.write(value) for symbol, value in self.shaker.values.items()}
        early = [symbol for symbol, value in self.shaker.values.items() if not _symbols(value)]
        yield from (f"\n{self.names[symbol]} = {values.pop(symbol)}" for symbol in early)
        for text in definitions:
            yield ("\n\n" if text.startswith(("def", "class", "@")) else "\n") + text
        yield from (f"\n{self.names[symbol]} = {text}" for symbol, text in values.items())
        yield f"\n{ARRAY}\n\nWEIGHTS = {{"
        for name, leaf in self.leaves:
            yield from _weights(name, leaf)
        yield "}\n"
        for name, value in self.objects.items():
            if value is not None and (name in used or name in ("MODEL", "PARAMS")):
                yield f"{name} = {writer.write(value)}"
        yield MAIN if self.classes is None else LABELLED

    def _head(self) -> Iterator[str]:
        """Say what the file is, and how it is used."""
        from rnn_xp import __version__  # at the top it would be a circle

        model, count = self.model, sum(leaf.size for _, leaf in self.leaves)
        takes = f"X (N, T, {model.intake.size}), or a list of unequal sequences"
        takes = "X (N, T), integer tokens" if model.intake.kind == "tokens" else takes
        likely = self.loss is not None and LOSSES[self.loss].activation is not None
        gives = ("probabilities" if likely else "outputs") + (" (N, T, K)" if model.per_step else " (N, K)")
        yield f'"""A trained model in one file that needs NumPy alone; {count:,} weights.\n'
        yield from textwrap.wrap(repr(model), 104, initial_indent="    ", subsequent_indent="        ")
        yield "\n    import model  # this file, whatever it is called"
        yield f"    model.predict(X, lengths=None)  # {takes}; {gives}"
        if self.classes is not None:
            yield "    model.labels(model.predict(X))  # the names of the likeliest classes"
        if model.causal:
            yield "    model.Stream(batch_size=1).step(x)  # one step of each sequence, and what it gives"
        yield "    python model.py X.npy  # prints what is predicted\n"
        if self.scaling is not None:
            yield "Features are scaled here as in the training: give them as they are.\n"
        yield f"Written by rnn_xp {__version__} from its own source: the numbers are those of"
        yield "`rnn_xp.predict` on NumPy, bit for bit, on the same machine and the same version of NumPy.\n"
        yield "The code is that of rnn_xp: Copyright (c) 2026 the rnn_xp authors, MIT License."
        yield 'SPDX-License-Identifier: MIT\n"""\n'

    def _imports(self) -> Iterator[str]:
        """Yield the import statements."""
        lines = {"import base64", "import sys", "import numpy as np"}
        for symbol in self.shaker.libraries:
            name, root = self.names[symbol], symbol.module
            own = f"import {root}" if symbol.name is None else f"from {root} import {symbol.name}"
            lines.add(own if name in (root, symbol.name) else f"{own} as {name}")
        ours, numpys = (sorted(line for line in lines if ("numpy" in line) is own) for own in (False, True))
        yield from sorted(ours, key=lambda line: line.startswith("from"))
        yield from ("", *numpys)


def source(
    model: Sequential,
    params: Tree,
    *,
    loss: str | None = None,
    scaling: Scaling | None = None,
    classes: Sequence[str] | None = None,
) -> str:
    """Return the text of one Python file that needs NumPy alone and answers as the model does, to the bit.

    It is put together from the source of the package, as far as this model's answers need it, and from that
    of the user's own cells; then come the weights. It has `predict(X, lengths=None)`, which gives what
    `rx.predict` gives on NumPy; `Stream`, with a method `step`, where the model can be streamed; and
    `labels(outputs)` where there are classes. `python FILE X.npy` prints what is predicted.

    Parameters
    ----------
    model : Sequential
    params : tree
        On any backend.
    loss : str, optional
        That of the training: outputs then become its probabilities, as with `rx.predict`.
    scaling : rx.data.Scaling, optional
        What features go through first.
    classes : sequence of str, optional
        The names of the outputs.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or a cell's functions do not stand at the top of a file.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> text = source(model, model.init(rx.get_backend("numpy")), loss="cross_entropy")
    >>> [line for line in text.splitlines() if line.startswith(("import", "from")) and "rnn_xp" in line]
    []
    """
    checks.kind("model", model, Sequential, "a rx.Sequential")
    model.check_params(params)
    if loss is not None:
        checks.one_of("loss", loss, LOSSES)
    if scaling is not None:
        checks.kind("scaling", scaling, Scaling, "a rx.data.Scaling")
        if model.intake.kind == "tokens" or len(scaling.mean) != model.intake.size:
            wanted = f"of C = {model.intake.size} features"
            msg = f"`scaling` must be {wanted}, and None for tokens; got {len(scaling.mean)} of them."
            raise ValueError(msg)
    outputs = 2 if model.output_size == 1 else model.output_size
    if classes is not None and len(names("classes", classes)) != outputs:
        msg = f"`classes` must hold a name for each of {outputs} outputs; got {len(classes)}."
        raise ValueError(msg)
    if classes is not None and model.output_size == 1 and loss != "binary_cross_entropy":
        must = "`loss` must be 'binary_cross_entropy' where one output tells two `classes` apart, at 0.5"
        msg = f"{must}; got {loss!r}."
        raise ValueError(msg)
    if not tree.leaves(params):
        msg = f"`model` must have parameters; got {model!r}."
        raise ValueError(msg)
    for layer in within(model):
        if type(layer) not in (Sequential, *LAYERS.values()):
            msg = f"`model` must hold layers of rnn_xp alone; got {layer!r}."
            raise ValueError(msg)
    return "\n".join(Parts(model, params, loss, scaling, classes).text())


def _symbols(value: Any) -> list[Any]:
    """Return the functions and classes that an object is made of."""
    found: list[Any] = []

    def note(each: Any) -> str:
        found.append(each)
        return ""

    Writer(note).write(value)
    return found


def _weights(name: str, leaf: NDArray[Any]) -> Iterator[str]:
    """Yield the lines of an array: its little-endian bytes in base64."""
    text = base64.b64encode(leaf.astype(leaf.dtype.newbyteorder("<")).tobytes()).decode()
    yield f'    "{name}": _array({leaf.shape!r}, "{leaf.dtype.name}", """'
    yield from (text[at : at + 100] for at in range(0, len(text), 100))
    yield '"""),'
