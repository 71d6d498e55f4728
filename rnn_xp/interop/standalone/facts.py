"""What holds of a model whenever it answers: the facts by which the source is folded.

Nothing is drawn, nothing goes back, sequences begin where they begin, and arrays are NumPy's.
"""

from __future__ import annotations

from typing import NamedTuple

from rnn_xp.interop.standalone.fold import Facts
from rnn_xp.layers import Layer, Recurrent, Residual
from rnn_xp.losses import LOSSES
from rnn_xp.model import Sequential

LEFT_OUT = (
    "Layer.forward",
    "Layer.check",
    "Sequential.__init__",
    "Sequential.intake",
)
"""Methods that share their name with one that is called."""

Of = dict[str, str | None]


ANSWERS: Of = {
    "backend.xp": "np",
    "backend.asarray": "np.asarray",
    "data.reset": "None",
    "except MemoryError": None,
    "parameter backend": None,
}
"""What holds where batch after batch is answered."""


class Traits(NamedTuple):
    """What the facts depend on."""

    causal: bool  # the model can be streamed
    zoneout: bool
    layers: frozenset[str]  # their kinds
    scaled: bool
    tokens: bool
    one_output: bool
    activation: str | None  # what makes probabilities of outputs


def traits_of(model: Sequential, loss: str | None, scaled: bool) -> Traits:
    """Return what the facts of a model depend on."""
    layers = within(model)
    activation = None if loss is None else LOSSES[loss].activation
    return Traits(
        model.causal,
        any(any(layer.zoneouts) for layer in layers if isinstance(layer, Recurrent)),
        frozenset(kind.__name__ for layer in layers for kind in type(layer).__mro__),
        scaled,
        model.intake.kind == "tokens",
        model.output_size == 1,
        None if activation is None else activation.__name__,
    )


def within(layer: Layer) -> list[Layer]:
    """Return a layer and all that it holds."""
    inner = (layer.layer,) if isinstance(layer, Residual) else layer.layers
    return [layer, *[each for own in inner for each in within(own)]]


def facts(traits: Traits) -> dict[str, Facts]:
    """Return the facts of every module."""
    known: dict[str, dict[str, Of]] = {
        "entries": _entries(traits),
        "rnn_xp.engines.portable": {"Portable.forward_step": {"checked": "True"}},
        "rnn_xp.layers.dropout": {"Dropout.run": {"rng is None or not self.rate": "True"}},
        "rnn_xp.layers.stack": {"Stack.run": _stack(traits), "Stack._open": _open(traits)},
        "rnn_xp.model": {"Sequential.run": {"rng": "None"}},
        "rnn_xp.stream": {"_part": _part(traits)},
        "rnn_xp.train.predict": {"_outputs": _outputs(traits), "_answers": ANSWERS},
    }
    workspace: Of = {"choose(cell, xp=xp).engine": "rnn_xp.engines.portable.Portable(xp)"}
    if not traits.zoneout:
        workspace["between"] = "False"
        known["rnn_xp.sequence.run"] = {"Run.forward": {"self.between is not None": "False"}}
        known["rnn_xp.sequence.advance"] = {"advance": {"run.between is not None": "False"}}
        noises = "[layer.noise(None, i, 1, batch, new, Context(xp)) for i in range(layer.runs)]"
        known["rnn_xp.stream"]["_recurrent"] = {noises: "[rnn_xp.sequence.run.QUIET] * layer.runs"}
    if not traits.causal:
        known["rnn_xp.sequence.recompute"] = {"segment_steps": {"recompute is True": "True"}}
    return {**known, "rnn_xp.sequence.workspace": {"Workspace.__init__": workspace}}


def _entries(traits: Traits) -> dict[str, Of]:
    tokens, answer = {"tokens": str(traits.tokens)}, "self._model.step(x)"
    if traits.activation is not None:
        answer = f"rnn_xp.functional.{traits.activation}({answer}, xp=np)"
    return {
        "prepared": {
            **tokens,
            "scaled": str(traits.scaled),
            "KIND": "np.int64" if traits.tokens else "float",
        },
        "labels": {"one_output": str(traits.one_output)},
        "Stream.step": {"probabilities(self._model.step(x))": answer},
    }


def _stack(traits: Traits) -> Of:
    draw = "self.dropout, self.variational, shape, valid, device=x.device, xp=xp"
    own: Of = {
        "_begins(reset, reverse, xp=xp)": "None",
        f"between_layers(key, {draw})": "None",
        "self._drop(flow, mask, xp=xp)": "flow",
    }
    return own | ({} if traits.zoneout else {"count": "0"})


def _open(traits: Traits) -> Of:
    if not traits.causal:
        return {}
    # sequences are cut, each part short enough
    return {"context.recompute": "None", "isinstance(run, Recomputed)": "False"}


def _part(traits: Traits) -> Of:
    known = ("Recurrent", "Linear", "Embedding", "Dropout", "LastStep", "Residual")
    return {f"case {name}": None for name in known if name not in traits.layers}


def _outputs(traits: Traits) -> Of:
    own: Of = {
        "None if loss is None else LOSSES[loss].activation": "None",
        "activation is not None": str(traits.activation is not None),
        "_answers(model, params, data, backend, batch_size)": "_answers(model, params, data, batch_size)",
        "backend.to_numpy": "np.array",
        "parameter backend": None,
        "parameter loss": None,
    }
    if traits.activation is not None:
        own["activation(y, xp=backend.xp)"] = f"rnn_xp.functional.{traits.activation}(y, xp=np)"
    return own
