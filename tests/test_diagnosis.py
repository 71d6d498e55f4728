"""Planted faults are named, and where all is well nothing is."""

import faulty_runs
import pytest

import rnn_xp as rx
from rnn_xp.diagnosis.finding import KINDS


@pytest.mark.parametrize("name", faulty_runs.HEALTHY)
def test_no_alarm(name):
    found = rx.diagnose(**faulty_runs.HEALTHY[name]())
    assert found.findings == []
    assert str(found).startswith("Nothing found that keeps it from learning.\n")


@pytest.mark.parametrize("name", faulty_runs.BROKEN)
def test_a_planted_fault_is_named_first(name):
    kind, plant = faulty_runs.BROKEN[name]
    found = rx.diagnose(**plant())
    assert found.findings, found
    assert found.findings[0].kind == kind, found


def test_every_kind_is_planted():
    assert {kind for kind, _ in faulty_runs.BROKEN.values()} == set(KINDS)
