"""`rnn-xp doctor`: what is installed here, and whether its gradients are right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import rnn_xp as rx
from rnn_xp.backend import available
from rnn_xp.cli.output import Output
from rnn_xp.table import table
from rnn_xp.verify.gradients import gradcheck
from rnn_xp.verify.machine import system

LAYERS = {
    "rnn": rx.RNN(2, 3),
    "gru, reset after": rx.GRU(2, 3),
    "gru, reset before": rx.GRU(2, 3, reset="before"),
    "lstm": rx.LSTM(2, 3),
}


def doctor(given: Mapping[str, Any]) -> int:
    """Report, check, and fail where a check does."""
    output = Output(json=given.get("json", False))
    installed = {"system": system(), "backends": available()}
    for values in installed.values():
        for name, value in values.items():
            output.line(f"{name:<22} {short(str(value))}")
        output.line("")
    backend = rx.get_backend(given.get("backend"), device=given.get("device"), dtype="float64")
    engines = [layer.explain(backend) for layer in LAYERS.values()]
    for line in dict.fromkeys(line.partition(": ")[2] for line in engines):
        output.line(line)
    reports = {name: gradcheck(layer, mode="directional", backend=backend) for name, layer in LAYERS.items()}
    errors = {name: report.worst.value for name, report in reports.items()}
    rows = [
        [name, f"{errors[name]:.1e}", "ok" if report.passed else "WRONG"] for name, report in reports.items()
    ]
    output.line(f"gradients on {backend.name}, {backend.device}, against central differences:")
    output.line(table(["cell", "error", ""], rows))
    for report in reports.values():
        for failure in report.failures:
            output.line(f"{report.title}: {failure}")
    ok = all(report.passed for report in reports.values())
    checked = [
        {"cell": name, "relative_error": errors[name], "ok": report.passed}
        for name, report in reports.items()
    ]
    result = {**installed, "backend": backend.name, "engines": engines, "gradients": checked, "ok": ok}
    output.record({"result": result})
    return 0 if ok else 1


def short(reason: str) -> str:
    """Return the first sentence of why a backend cannot be had; anything else as it is."""
    if not reason.startswith('backend "'):
        return reason
    first = reason.partition(": ")[2].split(". ")[0]
    return re.sub(r"^ModuleNotFoundError: .*|^CuPy is not installed", "not installed", first)
