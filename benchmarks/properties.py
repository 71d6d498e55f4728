"""The property suite on other libraries' recurrent networks: what holds of them, and what does not.

    python benchmarks/properties.py [--only LIBRARY ...] [--out benchmarks/results/properties.json]

A library that is not installed is left out. Every failure is read by hand: `READINGS` says what it is, and
`BY_HAND` shows it by calls of the library alone, without this package.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
from properties_by_hand import BY_HAND, GATES, READINGS, classifier, session
from record import ROOT, write

sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")  # deprecations inside the libraries

import rnn_xp as rx  # noqa: E402
from rnn_xp.verify.adapters.choose import adapt  # noqa: E402
from rnn_xp.verify.report import FAILED, PASSED, SKIPPED  # noqa: E402
from rnn_xp.verify.suite.run import properties  # noqa: E402

KINDS = {"one way": {}, "both ways": {"bidirectional": True}, "two layers": {"num_layers": 2}}
STEPS = {"return_sequences": True, "return_state": True}


def own() -> Iterator[Any]:
    for kind in (rx.RNN, rx.GRU, rx.LSTM):
        for options in KINDS.values():
            yield adapt(kind(3, 4, **options), dtype="float32")


def torch() -> Iterator[Any]:
    import torch

    torch.manual_seed(0)
    for kind in (torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM):
        for options in (*KINDS.values(), {"num_layers": 2, "bidirectional": True, "batch_first": True}):
            yield adapt(kind(3, 4, **options))


def keras() -> Iterator[Any]:
    import keras

    keras.utils.set_random_seed(0)
    for kind in (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM):
        yield adapt(kind(4, **STEPS), input_size=3)
        both = keras.layers.Bidirectional(kind(4, **STEPS))
        yield adapt(both, input_size=3, name=f"keras.Bidirectional({kind.__name__})")


def onnxruntime() -> Iterator[Any]:
    for op in GATES:
        for direction in ("forward", "bidirectional"):
            yield adapt(session(op, direction), name=f"onnxruntime {op}, {direction}")


class Thinc:
    """A model of Thinc on lists of sequences, which is how it takes lengths."""

    dtype, input_size = "float32", 3
    takes_lengths, takes_state = True, False

    def __init__(self, model: Any, name: str, reverse: int = 0) -> None:
        self.model, self.name, self.reverse = model, name, reverse
        model.initialize()

    def split(self, x: Any, lengths: Any) -> list[Any]:
        ends = [len(x)] * x.shape[1] if lengths is None else lengths
        return [np.ascontiguousarray(x[:end, b]) for b, end in enumerate(ends)]

    def join(self, parts: list[Any], steps: int) -> Any:
        joined = np.zeros((steps, len(parts), parts[0].shape[1]), self.dtype)
        for b, part in enumerate(parts):
            joined[: len(part), b] = part
        return joined

    def forward(self, x: Any, lengths: Any = None, _: Any = None) -> tuple[Any, None]:
        return self.join(self.model.predict(self.split(x, lengths)), len(x)), None

    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        _, back = self.model(self.split(x, lengths), is_train=True)
        return self.join(back(self.split(d_y, lengths)), len(x))


def thinc() -> Iterator[Any]:
    from thinc import api
    from thinc.backends import Ops

    api.fix_random_seed(0)
    for name, ops in (("NumpyOps", None), ("Ops, which CupyOps inherits", Ops())):
        for both in (False, True):
            model = api.with_padded(api.LSTM(8 if both else 4, 3, bi=both))
            if ops is not None:
                model._to_ops(ops)
            yield Thinc(model, f"thinc.LSTM{', both ways' * both} ({name})", 4 * both)
    for both in (False, True):
        model = api.PyTorchLSTM(8 if both else 4, 3, bi=both)
        yield Thinc(model, f"thinc.PyTorchLSTM{', both ways' * both}", 4 * both)


def sktime() -> Iterator[Any]:
    for batch_first in (False, True):
        name = f"sktime GRUClassifier(batch_first={batch_first})"
        yield adapt(classifier(batch_first).predict_proba, input_size=3, layout="NCT", name=name)


SUBJECTS: dict[str, Callable[[], Iterator[Any]]] = {
    "rnn_xp": own,
    "torch": torch,
    "keras": keras,
    "onnxruntime": onnxruntime,
    "thinc": thinc,
    "sktime": sktime,
}


def reading(name: str, check: str) -> str:
    """Return what is known of a failure: the last entry that fits."""
    fitting = [checks[check] for part, checks in READINGS.items() if part in name and check in checks]
    return fitting[-1] if fitting else "not read yet"


def told(name: str, finding: Any) -> dict[str, Any]:
    """Return a failure as JSON, which has no NaN, with its reading."""
    value = finding.value
    if value is not None and not math.isfinite(value):
        value = str(value)
    return {**finding._asdict(), "value": value, "reading": reading(name, finding.check)}


def examine(adapter: Any) -> dict[str, Any]:
    """Return what the suite finds of one subject, and print it."""
    start = time.perf_counter()
    report = properties(adapter)
    counts = report.counts()
    numbers = "".join(f"{counts.get(outcome, 0):9d}" for outcome in (PASSED, FAILED, SKIPPED))
    checks = ", ".join(dict.fromkeys(finding.check for finding in report.failures)) or "-"
    print(f"{adapter.name:72s}{numbers}  {checks}", flush=True)
    return {
        "passed": report.passed,
        "counts": counts,
        "seconds": round(time.perf_counter() - start, 3),
        "failed": [told(adapter.name, finding) for finding in report.failures],
        "not_applicable": [f"{f.check}, {f.subject}: {f.detail}" for f in report if f.outcome == SKIPPED],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()

    installed = [library for library in arguments.only if find_spec(library)]
    print(f"{'subject':72s}{'passed':>9s}{'failed':>9s}{'skipped':>9s}  properties that failed")
    subjects, by_hand = {}, {}
    for library in installed:
        subjects[library] = {adapter.name: examine(adapter) for adapter in SUBJECTS[library]()}
        if library in BY_HAND:
            by_hand[library] = BY_HAND[library]()
    for library, found in subjects.items():
        failed = [each for one in found.values() for each in one["failed"]]
        for text in dict.fromkeys(f"{each['check']}: {each['reading']}" for each in failed):
            print(f"\n{library}, {text}")
        if library in by_hand:
            print(f"\n{library}, by hand: {by_hand[library]}")
    absent = [library for library in arguments.only if library not in installed]
    if absent:
        print(f"\nnot installed: {', '.join(absent)}")
    packages = ["numpy", *installed]
    write(arguments.out, "properties", packages, {"subjects": subjects, "by_hand": by_hand, "absent": absent})


if __name__ == "__main__":
    main()
