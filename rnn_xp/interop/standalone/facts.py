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


class Traits(NamedTuple):
    """What the facts depend on."""

    causal: bool  # the model can be streamed
    zoneout: bool
    projection: bool
    apart: bool  # a gate's recurrent part comes apart
    learnt: bool  # the states that sequences begin with
    layers: frozenset[str]  # their kinds
    scaled: bool
    tokens: bool
    one_output: bool
    activation: str | None  # what makes probabilities of outputs


def traits_of(model: Sequential, loss: str | None, scaled: bool) -> Traits:
    """Return what the facts of a model depend on."""
    layers = within(model)
    recurrent = [layer for layer in layers if isinstance(layer, Recurrent)]
    activation = None if loss is None else LOSSES[loss].activation
    return Traits(
        model.causal,
        any(rate for layer in recurrent for rate in layer.zoneouts),
        any(layer.proj_size for layer in recurrent),
        any(pair.apart for layer in recurrent for pair in layer.cell.pairs),
        any(layer.learn_state for layer in recurrent),
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
    quiet = not traits.zoneout
    known: dict[str, dict[str, Of]] = {
        "entries": _entries(traits),
        "rnn_xp.engines.portable": {"Portable.forward_step": {"checked": "True"}},
        "rnn_xp.layers.dropout": {"Dropout.run": {"rng is None or not self.rate": "True"}},
        "rnn_xp.layers.stack": {"Stack.run": _stack(quiet), "Stack._open": _open(traits.causal)},
        "rnn_xp.model": {"Sequential.run": {"rng": "None", "budget and budget is not True": "False"}},
        "rnn_xp.stream": {"_part": _part(traits), "_recurrent": {}},
        "rnn_xp.train.predict": {"_outputs": _outputs(traits), "_answers": _answers(traits)},
        "rnn_xp.sequence.workspace": {
            "Workspace.__init__": {"choose(cell, xp=xp).engine": "rnn_xp.engines.portable.Portable(xp)"},
            "Workspace.start": {},
        },
    }
    workspace = known["rnn_xp.sequence.workspace"]
    if quiet:
        between: Of = {"between": "False", "self.between is not None": "False"}
        workspace["Workspace.__init__"] |= {**between, "self.between: Between | None = None": None}
        known["rnn_xp.sequence.run"] = {"Run.forward": {"self.between is not None": "False"}}
        known["rnn_xp.sequence.advance"] = {"advance": {"run.between is not None": "False"}}
        noises = "[layer.noise(None, i, 1, batch, new, Context(xp)) for i in range(layer.runs)]"
        drawn: Of = {
            "noises[0].keep is not None": "False",
            noises: "[rnn_xp.sequence.run.QUIET] * layer.runs",
        }
        known["rnn_xp.stream"]["_recurrent"] = drawn
    else:
        known["rnn_xp.layers.stack"]["Stack.noise"] = {"rng": "None"}
        known["rnn_xp.layers.noise"] = {"within_run": {"rng": "None"}}
        known["rnn_xp.sequence.between"] = {"Between.enter": {"self.reset is None": "True"}}
    if not traits.projection:
        absent: Of = {"projected": "False", "params.weight_hr is not None": "False"}
        absent["len(self.stages) - 1 + projected"] = "len(self.stages) - 1"
        workspace["Workspace.__init__"] |= absent
    if not traits.apart:
        known["rnn_xp.engines.portable"]["Portable.forward_step"] |= {"apart": "0"}
    if not traits.learnt:
        workspace["Workspace.start"] = {"learnt is None": "True", "learnt": "None"}
        known["rnn_xp.layers.stack"]["Stack.last"] = {"self.learn_state": "False"}
    if not traits.causal:
        known["rnn_xp.sequence.recompute"] = {"segment_steps": {"recompute is True": "True"}}
    return {**known}


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


def _stack(quiet: bool) -> Of:
    draw = "self.dropout, self.variational, shape, valid, device=x.device, xp=xp"
    own: Of = {
        "rng": "None",
        "reset": "None",
        "_begins(reset, reverse, xp=xp)": "None",
        f"between_layers(key, {draw})": "None",
        "self._drop(flow, mask, xp=xp)": "flow",
        "masks.append(mask)": None,
        "masks": "[]",
    }
    return own | ({"count": "0", "between": "False", "noise": "QUIET"} if quiet else {})


def _open(causal: bool) -> Of:
    if causal:  # sequences are cut, each part short enough
        return {"context.recompute": "None", "isinstance(run, Recomputed)": "False"}
    return {"budget is not True": "False"}


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


def _answers(traits: Traits) -> Of:
    own: Of = {
        "backend.xp": "np",
        "backend.asarray": "np.asarray",
        "data.reset": "None",
        "except MemoryError": None,
        "parameter backend": None,
    }
    return own | ({"again or None": "None"} if traits.causal else {})
