"""`rnn-xp verify`: the certificate that it writes, and what it says where a check fails or cannot be made."""

from __future__ import annotations

import errno
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import main
from rnn_xp.verify import certificates, configurations

FAMILY = "gru, reset before"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One family of cells stands for all of them."""
    monkeypatch.chdir(tmp_path)
    one = {FAMILY: configurations.FAMILIES[FAMILY]}
    for module in ("certificates", "configurations", "survey"):
        monkeypatch.setattr(f"rnn_xp.verify.{module}.FAMILIES", one)
    monkeypatch.setattr("rnn_xp.verify.certificates.OTHERS", ("array_api_strict",))


def test_the_certificate(capsys: Any, tmp_path: Path) -> None:
    assert main(["verify", "--count", "5", "--seed", "3", "--backend", "numpy"]) == 0
    out, err = capsys.readouterr()
    made = json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8"))
    assert made["passed"] is True
    assert (made["seed"], made["digits"], made["backend"], made["device"]) == (3, 50, "numpy", "cpu")
    assert made["versions"]["numpy"] == np.__version__
    assert made["versions"]["rnn_xp"] == rx.__version__
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made["date"])).total_seconds()) < 600
    titles = [report["title"] for report in made["reports"]]
    assert titles == [
        "derivatives of cells",
        "gradients of layers",
        "rounding at 50 digits",
        "properties",
        "random bits",
        "parity with array_api_strict",
    ]
    assert all(report["passed"] and report["checks"] and not report["failures"] for report in made["reports"])
    (row,) = made["rounding"]
    assert (row["family"], row["configurations"]) == (FAMILY, 5)
    assert all(
        0 < row[f"{dtype} {side}"] < 1e4
        for dtype in ("float64", "float32")
        for side in ("forward", "gradient")
    )
    # the table is what the terminal shows
    text = (tmp_path / "certificate.txt").read_text(encoding="utf-8")
    assert out.startswith(text)
    assert text.startswith("rnn_xp on numpy, cpu, ")
    assert "every check passed" in text
    assert [line.removeprefix("checking: ") for line in err.splitlines()] == [
        t for t in titles if t != "random bits"
    ]


def test_json(capsys: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    assert main(["verify", "--count", "1", "--out", str(path), "--json"]) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["result"] == json.loads(path.read_text(encoding="utf-8"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.json", "mine.txt"]


def test_a_fault_fails_the_certificate(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backward = rx.Recurrent.backward

    def wrong(self: Any, *arguments: Any, **more: Any) -> Any:
        d_params, d_x, d_state_0 = backward(self, *arguments, **more)
        first = d_params[0]
        return (first._replace(weight_hh=first.weight_hh * 1.001), *d_params[1:]), d_x, d_state_0

    monkeypatch.setattr(rx.Recurrent, "backward", wrong)
    assert main(["verify", "--count", "1"]) == 1
    out, _ = capsys.readouterr()
    assert "CHECKS FAILED" in out
    assert re.search(r"failed: gradient, params\.0\.weight_hh of GRU\(.*; 0\.00", out)
    made = json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8"))
    failed = [report["title"] for report in made["reports"] if not report["passed"]]
    assert failed == ["gradients of layers", "rounding at 50 digits"]
    assert not made["passed"]


def test_a_full_disk_does_not_hide_what_was_found(capsys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("rnn_xp.cli.verify.atomic_write", full)
    assert main(["verify", "--count", "1", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["result"]["passed"] is True
    assert "every check passed" in err
    assert err.endswith("rnn-xp: error: certificate.json: No space left on device.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--count", "0"], 2, "`count` must be an integer of at least 1; got 0."),
        (["--out", "certificate"], 2, "`out` must be the name of a .json file; got 'certificate'."),
        (["--out", "no/such/place.json"], 2, "`out` must be in a directory that can be written to"),
        (
            ["--backend", "torch", "--device", "nowhere"],
            1,
            "backend \"torch\": `device` 'nowhere' cannot be used",
        ),
    ],
)
def test_what_cannot_be_is_said_at_once(
    capsys: Any, tmp_path: Path, options: Any, code: int, message: str
) -> None:
    if "torch" in options:
        pytest.importorskip("torch")
    assert main(["verify", *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("rnn-xp: error: ")
    assert list(tmp_path.iterdir()) == []


def test_without_high_precision_nothing_is_begun(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["verify"]) == 2
    _, err = capsys.readouterr()
    assert "high precision needs gmpy2 or mpmath" in err
    assert 'pip install "rnn-xp[verify]"' in err


def test_libraries_that_are_not_installed_do_not_fail_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_xp.verify.certificates.find_spec", lambda name: None)
    made = rx.verify.certificate("numpy", count=1)
    assert made.passed
    assert "parity with array_api_strict: not applicable" in str(made)
    assert "(array_api_strict is not installed)" in str(made)


def test_digits_are_refused_at_once() -> None:
    told: list[Any] = []
    with pytest.raises(ValueError, match="`digits` must be an integer of at least 16; got 5"):
        rx.verify.certificate("numpy", digits=5, progress=lambda *where: told.append(where))
    assert told == []


def test_the_worst_error_is_no_number_where_one_is() -> None:
    sides = ("forward", "gradient")
    rows = [
        {
            "family": FAMILY,
            **{dtype: {side: {"eps": eps} for side in sides} for dtype in ("float64", "float32")},
        }
        for eps in (1.0, float("nan"), 2.0)
    ]
    (row,) = certificates._worst(rows)
    assert str(row["float64 gradient"]) == "nan"


def test_no_report_is_no_certificate() -> None:
    assert not certificates.Certificate({}, [], ()).passed
