"""Initialisers against the closed forms of their distributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rnn_xp.initializers import INITIALIZERS, Initializer, Spec, draw, generator, resolve

H, D, P, LSTM = 32, 50, 12, ("i", "f", "g", "o")
SPECS = {
    "weight_ih": Spec((4 * H, D), "weight_ih", fan_in=D, hidden_size=H, gates=LSTM),
    "weight_hh": Spec((4 * H, H), "weight_hh", fan_in=H, hidden_size=H, gates=LSTM),
    "weight_hh of P": Spec((4 * H, P), "weight_hh", fan_in=P, hidden_size=H, gates=LSTM),
    "weight_hr": Spec((P, H), "weight_hr", fan_in=H, hidden_size=H, gates=LSTM),
    "bias_ih": Spec((4 * H,), "bias_ih", fan_in=4 * H, hidden_size=H, gates=LSTM),
    "bias_hh": Spec((4 * H,), "bias_hh", fan_in=4 * H, hidden_size=H, gates=LSTM),
    "weight": Spec((40, D), "weight", fan_in=D),
    "bias": Spec((40,), "bias", fan_in=D),
    "embedding": Spec((60, 20), "embedding", fan_in=60),
}
MATRICES = ["weight_ih", "weight_hh", "weight_hh of P", "weight_hr", "weight"]
BIASES = ["bias_ih", "bias_hh", "bias"]
GLOROT_FANS = {
    "weight_ih": D + H, "weight_hh": H + H, "weight_hh of P": P + H, "weight_hr": H + P, "weight": D + 40
}  # fmt: skip


def drawn(name: str, part: str, seed: int = 0) -> np.ndarray:
    spec = SPECS[part]
    values = draw(INITIALIZERS[name], spec, generator(seed))
    assert values.shape == spec.shape
    assert values.dtype == np.float64
    return values


def many(name: str, part: str) -> np.ndarray:
    """Thirty draws from one generator, as one sample of the distribution."""
    source = generator(0)
    return np.stack([draw(INITIALIZERS[name], SPECS[part], source) for _ in range(30)])


def check_uniform(values: np.ndarray, bound: float) -> None:
    """Bounds that are met and nearly reached, mean and variance within 5 sigma (kurtosis 9/5)."""
    n = values.size
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > bound * (1 - 20 / n)
    assert abs(values.mean()) < 5 * bound / np.sqrt(3 * n)
    assert abs(values.var() / (bound**2 / 3) - 1) < 5 * np.sqrt(0.8 / n)


def check_normal(values: np.ndarray, variance: float) -> None:
    """Mean, variance and fourth moment within 5 sigma."""
    n = values.size
    assert abs(values.mean()) < 5 * np.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 5 * np.sqrt(2 / n)
    assert abs((values**4).mean() / variance**2 - 3) < 5 * np.sqrt(96 / n)


@pytest.mark.parametrize("part", [part for part in SPECS if part != "embedding"])
def test_pytorch_is_uniform_by_hidden_size_or_fan_in(part: str) -> None:
    check_uniform(many("pytorch", part), 1 / np.sqrt(D if part in ("weight", "bias") else H))


@pytest.mark.parametrize("part", MATRICES)
def test_glorot_is_uniform_by_each_gates_fans(part: str) -> None:
    check_uniform(many("glorot", part), np.sqrt(6 / GLOROT_FANS[part]))


@pytest.mark.parametrize("part", MATRICES)
def test_tutorial_is_normal_by_columns(part: str) -> None:
    check_normal(many("tutorial", part), 1 / SPECS[part].shape[1])


@pytest.mark.parametrize("name", INITIALIZERS)
def test_embeddings_are_standard_normal(name: str) -> None:
    check_normal(many(name, "embedding"), 1.0)


@pytest.mark.parametrize("part", ["weight_ih", "weight"])
def test_orthogonal_takes_glorot_for_what_comes_in(part: str) -> None:
    np.testing.assert_array_equal(drawn("orthogonal", part), drawn("glorot", part))


@pytest.mark.parametrize(("part", "blocks"), [("weight_hh", 4), ("weight_hh of P", 4), ("weight_hr", 1)])
def test_orthogonal_blocks(part: str, blocks: int) -> None:
    matrix = drawn("orthogonal", part)
    gates = np.split(matrix, blocks)
    for q in gates:
        gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        np.testing.assert_allclose(gram, np.eye(min(q.shape)), atol=1e-13)
    assert len({q.tobytes() for q in gates}) == blocks


def test_orthogonal_is_haar() -> None:
    """By Haar measure the trace of Q has mean 0 and variance 1; QR without the signs falls far below."""
    spec = Spec((8, 8), "weight_hh", fan_in=8, hidden_size=8, gates=("h",))
    source = generator(0)
    traces = np.array([np.trace(draw(INITIALIZERS["orthogonal"], spec, source)) for _ in range(400)])
    assert abs(traces.mean()) < 5 / np.sqrt(400)
    assert abs(traces.var() - 1) < 5 * np.sqrt(2 / 400)


@pytest.mark.parametrize("name", ["glorot", "orthogonal", "tutorial"])
@pytest.mark.parametrize("part", BIASES)
def test_biases_are_zero_but_for_the_forget_gate(name: str, part: str) -> None:
    expected = np.zeros(SPECS[part].shape)
    if name == "orthogonal" and part == "bias_ih":
        expected[H : 2 * H] = 1.0
    np.testing.assert_array_equal(drawn(name, part), expected)


def test_forget_bias_of_the_users_own_choice() -> None:
    """Both biases together give the value in gate f; the rest is drawn as before."""
    init = INITIALIZERS["pytorch"]._replace(forget_bias=2.5)
    both = []
    for part in ("bias_ih", "bias_hh"):
        values, plain = draw(init, SPECS[part], generator(0)), drawn("pytorch", part)
        np.testing.assert_array_equal(np.delete(values, slice(H, 2 * H)), np.delete(plain, slice(H, 2 * H)))
        both.append(values[H : 2 * H])
    np.testing.assert_array_equal(sum(both), np.full(H, 2.5))


def test_forget_bias_leaves_cells_without_a_forget_gate_alone() -> None:
    spec = Spec((3 * H,), "bias_ih", fan_in=3 * H, hidden_size=H, gates=("r", "z", "n"))
    np.testing.assert_array_equal(draw(INITIALIZERS["orthogonal"], spec, generator(0)), np.zeros(3 * H))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_vectors_begin_with_their_own_values(name: str) -> None:
    """Those that have one; the rest is drawn, and is what it would have been without."""
    spec = Spec((4, H), "vectors", fan_in=H, hidden_size=H)
    plain = draw(INITIALIZERS[name], spec, generator(0))
    values = draw(INITIALIZERS[name], replace(spec, initial=(1.0, None, 0.0, None)), generator(0))
    np.testing.assert_array_equal(values[0], 1.0)
    np.testing.assert_array_equal(values[2], 0.0)
    np.testing.assert_array_equal(values[[1, 3]], plain[[1, 3]])
    assert plain.all() == (name == "pytorch")


@pytest.mark.parametrize("name", INITIALIZERS)
def test_an_initial_state_begins_with_zero(name: str) -> None:
    """And leaves the generator as it was, so that what comes after is the same without it."""
    source = generator(0)
    values = draw(INITIALIZERS[name], Spec((P,), "state_0", fan_in=P, hidden_size=H), source)
    np.testing.assert_array_equal(values, np.zeros(P))
    assert values.dtype == np.float64
    assert source.random() == generator(0).random()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_seed_decides(name: str) -> None:
    for part in MATRICES:
        np.testing.assert_array_equal(drawn(name, part, seed=7), drawn(name, part, seed=7))
        assert not np.any(drawn(name, part, seed=7) == drawn(name, part, seed=8))


def test_each_role_uses_its_own_rule() -> None:
    rules = {
        name: lambda rng, spec, value=value: np.full(spec.shape, float(value))
        for value, name in enumerate(("weight_ih", "weight_hh", "weight_hr", "weight", "embedding", "bias"))
    }
    init = Initializer(**rules)
    for spec in SPECS.values():
        expected = 5 if spec.role in BIASES else list(rules).index(spec.role)
        np.testing.assert_array_equal(draw(init, spec, generator(0)), np.full(spec.shape, float(expected)))


def test_resolve() -> None:
    own = INITIALIZERS["glorot"]._replace(forget_bias=1.0)
    assert resolve(own) is own
    assert resolve("tutorial") is INITIALIZERS["tutorial"]
    with pytest.raises(ValueError, match=r"`init` must be one of 'pytorch', 'glorot', .*; got 'he'\."):
        resolve("he")
    with pytest.raises(TypeError, match=r"`init` must be one of 'pytorch', .*, or an Initializer; got int\."):
        resolve(3)


def test_generator_refuses_what_is_no_seed() -> None:
    with pytest.raises(ValueError, match=r"`seed` must be an integer of at least 0; got -1\."):
        generator(-1)
    with pytest.raises(TypeError, match=r"`seed` must be an integer of at least 0; got None\."):
        generator(None)
