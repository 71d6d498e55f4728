"""Schedules against closed forms and what PyTorch answers (torch_answers/make_optim.py)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnn_xp import schedules
from rnn_xp.schedules import Schedule

ANSWERS = np.load(Path(__file__).parent / "torch_answers" / "optim.npz")


@pytest.mark.parametrize(
    ("answer", "schedule"),
    [
        ("step_decay", schedules.step_decay(7, 0.3)),
        ("exponential", schedules.exponential(0.9)),
        ("cosine", schedules.cosine(40, final=0.1)),
    ],
)
def test_schedules_equal_pytorch(answer: str, schedule: Schedule) -> None:
    np.testing.assert_allclose([schedule(step) for step in range(41)], ANSWERS[answer], rtol=1e-12)


def test_closed_forms() -> None:
    assert {schedules.constant()(step) for step in (0, 1, 10**9)} == {1.0}
    assert [schedules.step_decay(3, 0.5)(step) for step in (0, 2, 3, 5, 6)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    assert schedules.exponential(0.5)(10) == 2.0**-10
    thirds = [schedules.cosine(6)(step) for step in (0, 2, 3, 4)]
    np.testing.assert_allclose(thirds, [1.0, 0.75, 0.5, 0.25], rtol=1e-15)


def test_cosine_stays_at_its_end() -> None:
    assert [schedules.cosine(10, final=0.25)(step) for step in (10, 11, 20, 1000)] == [0.25] * 4


def test_warmup_rises_to_the_beginning_of_what_follows() -> None:
    schedule = schedules.warmup(4, then=schedules.step_decay(2, 0.5))
    np.testing.assert_allclose(
        [schedule(step) for step in range(9)], [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.5, 0.5, 0.25], rtol=1e-15
    )


def test_schedules_are_values() -> None:
    """Equal where their arguments are, and able to travel between processes."""
    make: Callable[[int], Schedule] = lambda total: schedules.warmup(2, schedules.cosine(total))  # noqa: E731
    assert make(9) == make(9) != make(8)
    assert pickle.loads(pickle.dumps(make(9))) == make(9)


@pytest.mark.parametrize(
    ("make", "arguments", "match"),
    [
        (schedules.step_decay, (0, 0.5), r"`every` must be an integer of at least 1; got 0\."),
        (schedules.step_decay, (2, 0.0), r"`factor` must be a finite number > 0; got 0\."),
        (schedules.exponential, (-0.5,), r"`decay` must be a finite number > 0; got -0\.5\."),
        (schedules.cosine, (0,), r"`total` must be an integer of at least 1; got 0\."),
        (schedules.cosine, (5, -0.1), r"`final` must be a finite number >= 0; got -0\.1\."),
        (schedules.warmup, (0, schedules.constant()), r"`steps` must be an integer of at least 1; got 0\."),
    ],
)
def test_arguments_out_of_range(make: Callable[..., Any], arguments: tuple[Any, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make(*arguments)


def test_warmup_needs_a_schedule() -> None:
    with pytest.raises(TypeError, match=r"`then` must be a schedule, such as constant\(\); got 0\.1\."):
        schedules.warmup(5, 0.1)
