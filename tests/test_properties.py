"""What must hold for every cell, depth, direction and mask, with no oracle needed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from support import ACROSS, EXACT, MAKERS, assert_close, normal, open_backend, run

from rnn_xp import tree

NUMPY = open_backend("numpy")
# Small sizes and no search for smaller ones: a failure is told at once.
QUICK = settings(max_examples=12, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
cells = pytest.mark.parametrize("cell", MAKERS)


class Job(NamedTuple):
    """A layer with all that goes in."""

    layer: Any
    params: Any
    x: Any
    d_y: Any
    d_state_T: Any  # noqa: N815
    state_0: Any
    lengths: list[int] | None

    def run(self, **other: Any) -> dict[str, Any]:
        """Return all answers, with something else going in."""
        layer, *args, state_0, lengths = self._replace(**other)
        return run(layer, *args, state_0=state_0, lengths=lengths)

    @property
    def ends(self) -> list[int]:
        """The lengths, given or not."""
        return [self.x.shape[0]] * self.x.shape[1] if self.lengths is None else self.lengths


@st.composite
def jobs(
    draw: Any,
    depths: tuple[int, ...] = (1, 2),
    directions: tuple[bool, ...] = (False, True),
    padded: bool | None = None,
) -> Any:
    """Draw sizes, depth, direction and lengths: all but the cell, by whose name the job is then made."""
    T, B, D, H = (draw(st.integers(low, high)) for low, high in ((1, 6), (1, 4), (1, 3), (2, 4)))
    L, bidirectional = draw(st.sampled_from(depths)), draw(st.sampled_from(directions))
    seed = draw(st.integers(0, 99))
    padded = draw(st.booleans()) if padded is None else padded
    lengths = [draw(st.integers(0, T)) for _ in range(B)] if padded else None

    def job(cell: str) -> Job:
        layer = MAKERS[cell](D, H, L, bidirectional=bidirectional)
        params = normal(NUMPY, layer.init(NUMPY), seed, 0.6)
        x = np.random.RandomState(seed).standard_normal((T, B, D))
        y, state_T, _ = layer.forward(params, x)
        likes = enumerate((y, state_T, state_T), seed + 1)
        d_y, d_state_T, state_0 = (normal(NUMPY, like, number) for number, like in likes)
        return Job(layer, params, x, d_y, d_state_T, state_0, lengths)

    return job


def sample(job: Job, index: int) -> Job:
    """Return the job of one sample, cut to its length."""
    here, end = slice(index, index + 1), job.ends[index]
    cut = {"x": job.x[:end, here], "d_y": job.d_y[:end, here], "lengths": None}
    states = {name: tree.map(lambda a: a[:, here], getattr(job, name)) for name in ("state_0", "d_state_T")}
    return job._replace(**cut, **states)


@cells
@QUICK
@given(jobs())
def test_a_batch_is_its_samples(cell: str, job: Any) -> None:
    job = job(cell)
    whole = job.run()
    d_params = tree.map(np.zeros_like, job.params)
    for index, end in enumerate(job.ends):
        alone = sample(job, index).run()
        here = slice(index, index + 1)
        for name in ("y", "d_x"):
            assert_close(whole[name][:end, here], alone[name], ACROSS, name)
            assert not whole[name][end:, here].any(), name
        for name in ("state_T", "d_state_0"):
            assert_close(tree.map(lambda a, here=here: a[:, here], whole[name]), alone[name], ACROSS, name)
        if end == 0:
            assert_close(alone["state_T"], sample(job, index).state_0, EXACT)
            assert_close(alone["d_state_0"], sample(job, index).d_state_T, EXACT)
        d_params = tree.map(np.add, d_params, alone["d_params"])
    assert_close(whole["d_params"], d_params, ACROSS)


@cells
@QUICK
@given(jobs(), st.randoms(use_true_random=False))
def test_permuted_samples_give_permuted_answers(cell: str, job: Any, random: Any) -> None:
    job = job(cell)
    order = list(range(job.x.shape[1]))
    random.shuffle(order)

    def permuted(value: Any) -> Any:
        return tree.map(lambda a: a[:, order], value)

    names = ("x", "d_y", "d_state_T", "state_0")
    other = {name: permuted(getattr(job, name)) for name in names}
    lengths = None if job.lengths is None else [job.lengths[index] for index in order]
    whole, answer = job.run(), job.run(lengths=lengths, **other)
    expected = {name: value if name == "d_params" else permuted(value) for name, value in whole.items()}
    assert_close(answer, expected, ACROSS)


@cells
@QUICK
@given(jobs(), st.integers(0, 3))
def test_a_sample_of_nan_leaves_the_others_bits(cell: str, job: Any, index: int) -> None:
    job = job(cell)
    assume(index < job.x.shape[1])
    x = job.x.copy()
    x[:, index] = np.nan
    whole, answer = job.run(), job.run(x=x)
    others = [other for other in range(x.shape[1]) if other != index]
    for name in ("y", "state_T", "d_x", "d_state_0"):
        for ours, theirs in zip(tree.leaves(answer[name]), tree.leaves(whole[name]), strict=True):
            assert_close(ours[:, others], theirs[:, others], EXACT, name)


@cells
@QUICK
@given(jobs(padded=True), st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
def test_what_padding_holds_changes_no_bit(cell: str, job: Any, value: float) -> None:
    job = job(cell)
    x, d_y = job.x.copy(), job.d_y.copy()
    for index, end in enumerate(job.ends):
        x[end:, index] = value
        d_y[end:, index] = value
    assert_close(job.run(x=x, d_y=d_y), job.run(), EXACT)


@cells
@QUICK
@given(jobs(), st.integers(1, 4))
def test_how_much_padding_there_is_changes_rounding_at_most(cell: str, job: Any, more: int) -> None:
    job = job(cell)
    T = job.x.shape[0]
    x, d_y = (np.concatenate([a, np.full((more, *a.shape[1:]), np.nan)]) for a in (job.x, job.d_y))
    whole, answer = job.run(), job.run(x=x, d_y=d_y, lengths=job.ends)
    for name in ("y", "d_x"):
        assert not answer[name][T:].any()
        answer[name] = answer[name][:T]
    assert_close(answer, whole, ACROSS)


@cells
@QUICK
@given(jobs(directions=(False,)), st.integers(0, 5))
def test_what_comes_later_changes_nothing_before(cell: str, job: Any, t: int) -> None:
    job = job(cell)
    assume(t < job.x.shape[0])
    x = job.x.copy()
    x[t:] += 1.0
    assert_close(job.run(x=x)["y"][:t], job.run()["y"][:t], EXACT)
    d_y = job.d_y.copy()
    d_y[t:] = 0.0
    assert not job.run(d_y=d_y, d_state_T=None)["d_x"][t:].any()


def flipped(array: Any, ends: list[int]) -> Any:
    """Return every sequence against time, its padding where it was."""
    result = array.copy()
    for index, end in enumerate(ends):
        result[:end, index] = array[:end, index][::-1]
    return result


@cells
@QUICK
@given(jobs(depths=(1,), directions=(True,)))
def test_two_directions_are_one_and_its_reflection(cell: str, job: Any) -> None:
    job = job(cell)
    half = job.d_y.shape[2] // 2
    layer = MAKERS[cell](job.x.shape[2], job.layer.hidden_size)
    both = job.run()

    def one(direction: int) -> dict[str, Any]:
        turn = (lambda a: flipped(a, job.ends)) if direction else (lambda a: a)
        place = slice(direction, direction + 1)
        d_state_T, state_0 = (tree.map(lambda a: a[place], state) for state in (job.d_state_T, job.state_0))
        d_y = turn(job.d_y[:, :, direction * half : (direction + 1) * half])
        alone = Job(layer, job.params[place], turn(job.x), d_y, d_state_T, state_0, job.lengths)
        answer = alone.run()
        return {**answer, "y": turn(answer["y"]), "d_x": turn(answer["d_x"])}

    ahead, back = one(0), one(1)
    d_y, d_state_T, state_0 = (
        tree.map(lambda a, d=d: a[..., half:] if d is job.d_y else a[1:], d)
        for d in (job.d_y, job.d_state_T, job.state_0)
    )
    against = MAKERS[cell](job.x.shape[2], job.layer.hidden_size, reverse=True)
    by_itself = Job(against, job.params[1:], job.x, d_y, d_state_T, state_0, job.lengths).run()
    assert_close(by_itself, back, ACROSS)

    def joined(name: str) -> Any:
        return tree.map(lambda a, b: np.concatenate([a, b]), ahead[name], back[name])

    expected = {
        "y": np.concatenate([ahead["y"], back["y"]], axis=2),
        "state_T": joined("state_T"),
        "d_params": ahead["d_params"] + back["d_params"],
        "d_x": ahead["d_x"] + back["d_x"],
        "d_state_0": joined("d_state_0"),
    }
    assert_close(both, expected, ACROSS)


@cells
@QUICK
@given(jobs(depths=(2,)))
def test_two_layers_are_a_layer_upon_a_layer(cell: str, job: Any) -> None:
    job = job(cell)
    options = {"bidirectional": job.layer.bidirectional}
    lower = MAKERS[cell](job.x.shape[2], job.layer.hidden_size, **options)
    upper = MAKERS[cell](lower.output_size, job.layer.hidden_size, **options)
    dirs = job.layer.directions
    first, second = slice(0, dirs), slice(dirs, 2 * dirs)

    def part(state: Any, place: slice) -> Any:
        return tree.map(lambda a: a[place], state)

    y_1, state_1, tape_1 = lower.forward(job.params[first], job.x, part(job.state_0, first), job.lengths)
    y_2, state_2, tape_2 = upper.forward(job.params[second], y_1, part(job.state_0, second), job.lengths)
    d_2, d_y_1, d_0_2 = upper.backward(job.params[second], tape_2, job.d_y, part(job.d_state_T, second))
    d_1, d_x, d_0_1 = lower.backward(job.params[first], tape_1, d_y_1, part(job.d_state_T, first))

    def joined(a: Any, b: Any) -> Any:
        return tree.map(lambda a, b: np.concatenate([a, b]), a, b)

    expected = {
        "y": y_2,
        "state_T": joined(state_1, state_2),
        "d_params": d_1 + d_2,
        "d_x": d_x,
        "d_state_0": joined(d_0_1, d_0_2),
    }
    assert_close(job.run(), expected, ACROSS)


@cells
@QUICK
@given(jobs(directions=(False,), padded=False), st.integers(0, 6))
def test_chunks_with_carried_state_are_the_whole(cell: str, job: Any, cut: int) -> None:
    job = job(cell)
    cut = min(cut, job.x.shape[0])
    whole = job.run()
    y_1, state, tape_1 = job.layer.forward(job.params, job.x[:cut], job.state_0)
    y_2, state_T, tape_2 = job.layer.forward(job.params, job.x[cut:], state)
    d_2, d_x_2, d_state = job.layer.backward(job.params, tape_2, job.d_y[cut:], job.d_state_T)
    d_1, d_x_1, d_state_0 = job.layer.backward(job.params, tape_1, job.d_y[:cut], d_state)
    answer = {
        "y": np.concatenate([y_1, y_2]),
        "state_T": state_T,
        "d_params": tree.map(np.add, d_1, d_2),
        "d_x": np.concatenate([d_x_1, d_x_2]),
        "d_state_0": d_state_0,
    }
    assert_close(answer, whole, ACROSS)
    if job.layer.num_layers == 1:
        assert_close(answer["y"], whole["y"], EXACT)


@cells
@QUICK
@given(jobs(), st.floats(-3.0, 3.0))
def test_gradients_are_linear_in_what_comes_back(cell: str, job: Any, factor: float) -> None:
    job = job(cell)
    other = normal(NUMPY, (job.d_y, job.d_state_T), 7)
    both = tree.map(lambda a, b: a + factor * b, (job.d_y, job.d_state_T), other)
    names = ("d_params", "d_x", "d_state_0")
    first, second, answer = (
        tuple(job.run(d_y=d_y, d_state_T=d_state_T)[name] for name in names)
        for d_y, d_state_T in ((job.d_y, job.d_state_T), other, both)
    )
    assert_close(answer, tree.map(lambda a, b: a + factor * b, first, second), ACROSS)


@cells
@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_saturated_cells_stay_finite(cell: str, scale: float) -> None:
    layer = MAKERS[cell](2, 3, bidirectional=True)
    params = normal(NUMPY, layer.init(NUMPY), 0)
    x = scale * np.random.RandomState(1).standard_normal((4, 3, 2))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, state_T, tape = layer.forward(params, x, lengths=[4, 2, 0])
        answers = layer.backward(params, tape, np.ones_like(y), state_T)
    for leaf in tree.leaves((y, state_T, answers)):
        assert np.isfinite(leaf).all()
    if cell != "rnn_relu":
        assert abs(y).max() <= 5.0
