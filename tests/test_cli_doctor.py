"""`rnn-xp doctor`: what it reports, and that it finds a wrong gradient."""

import json
import platform
import sys
import types

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import backend, tree
from rnn_xp.cli import main


def report(capsys, *argv):
    code = main(["doctor", "--json", *argv])
    out, _ = capsys.readouterr()
    return code, json.loads(out)["result"]


def test_versions(capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    code, result = report(capsys)
    system = result["system"]
    assert code == 0
    assert (system["rnn_xp"], system["python"]) == (rx.__version__, platform.python_version())
    assert system["numpy"] == np.__version__
    assert system["OMP_NUM_THREADS"] == "3"
    assert result["backends"] == backend.available()


@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch"])
def test_gradients(capsys, name):
    pytest.importorskip(name)
    code, result = report(capsys, "--backend", name)
    assert (code, result["ok"], result["backend"]) == (0, True, name)
    engine = "numpy" if name == "numpy" else "portable"
    assert result["engines"][3].startswith(f"LSTM(2, 3): {engine} engine, since ")
    assert [check["cell"] for check in result["gradients"]] == [
        "rnn",
        "gru, reset after",
        "gru, reset before",
        "lstm",
    ]
    assert all(check["ok"] and 0 < check["relative_error"] < 1e-8 for check in result["gradients"])


@pytest.mark.parametrize("place", range(6))  # weight_ih, weight_hh, bias_ih, bias_hh, x, h_0
def test_a_wrong_gradient_is_found_wherever_it_is(capsys, monkeypatch, place):
    backward = rx.Recurrent.backward

    def wrong(self, *arguments):
        gradients = backward(self, *arguments)
        leaves = [leaf * (1 + 1e-4 * (i == place)) for i, leaf in enumerate(tree.leaves(gradients))]
        return tree.unflatten(gradients, leaves)

    monkeypatch.setattr(rx.Recurrent, "backward", wrong)
    code, result = report(capsys)
    assert (code, result["ok"]) == (1, False)
    assert not any(check["ok"] for check in result["gradients"])


def test_how_wrong_it_is(capsys, monkeypatch):
    backward = rx.Recurrent.backward

    def wrong(self, *arguments):
        return tree.map(lambda leaf: leaf * (1 + 1e-6), backward(self, *arguments))

    monkeypatch.setattr(rx.Recurrent, "backward", wrong)
    errors = [check["relative_error"] for check in report(capsys)[1]["gradients"]]
    assert errors == pytest.approx([1e-6] * 4, rel=1e-2)


@pytest.mark.parametrize(
    ("pools", "told"),
    [
        (
            [
                {"user_api": "openmp", "num_threads": 8},
                {"user_api": "blas", "num_threads": 2, "architecture": "SkylakeX"},
            ],
            "2 (SkylakeX)",
        ),
        ([{"user_api": "blas", "num_threads": 4, "internal_api": "mkl"}], "4 (mkl)"),
        ([], "unknown: threadpoolctl finds no BLAS that it knows"),
        (None, "unknown: threadpoolctl is not installed"),
    ],
)
def test_threads_of_the_blas(pools, told, capsys, monkeypatch):
    there = None if pools is None else types.SimpleNamespace(threadpool_info=lambda: pools)
    monkeypatch.setitem(sys.modules, "threadpoolctl", there)
    assert report(capsys)[1]["system"]["blas threads"] == told


def test_in_words(capsys):
    assert main(["doctor", "--backend", "numpy"]) == 0
    out = capsys.readouterr().out
    assert f"python                 {platform.python_version()}\n" in out
    assert "\nnumpy engine, since what is pointwise in a step becomes ufunc calls" in out
    assert out.splitlines()[-1].split()[::2] == ["lstm", "ok"]
