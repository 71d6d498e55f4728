"""JAX: whole layers, and whole epochs, as one jitted scan."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import sigmoid

from cpu_speed.job import PARAMETERS, Job, drawn, stored


def start() -> dict[str, Any]:
    """Say what computes; the environment has set its threads, and no other one is to dispatch."""
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return {"jax": jax.__version__, "devices": str(jax.devices())}


def step_of(cell: str) -> Any:
    """Return the step of a cell: the state, and a_x = W_ih x + b_ih, to the new state."""

    def rnn(R: Any, b: Any, h: Any, a: Any) -> Any:
        return jnp.tanh(a + h @ R + b)

    def gru(R: Any, b: Any, h: Any, a: Any) -> Any:
        r_h, z_h, n_h = jnp.split(h @ R + b, 3, axis=1)
        r_x, z_x, n_x = jnp.split(a, 3, axis=1)
        z = sigmoid(z_x + z_h)
        return (1 - z) * jnp.tanh(n_x + sigmoid(r_x + r_h) * n_h) + z * h

    def lstm(R: Any, b: Any, state: Any, a: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(a + h @ R + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(c), c

    return {"RNN": rnn, "GRU": gru, "LSTM": lstm}[cell]


def layer(cell: str, T: int, B: int, D: int, H: int, ahead: bool = False) -> Job:
    """Run a scan forward, and forward and back; `ahead` compiles before the first call."""
    a = {name: jnp.asarray(array) for name, array in drawn(cell, T, B, D, H).items()}
    x, d_y, (W, R, *biases) = a["x"], a["d_y"], (a[name] for name in PARAMETERS)
    weights = (jnp.asarray(W.T.copy()), jnp.asarray(R.T.copy()), *biases)
    step = step_of(cell)

    def forward(weights: Any, x: Any) -> Any:
        W, R, b_ih, b_hh = weights
        zero = jnp.zeros((B, H), x.dtype)

        def one(state: Any, a: Any) -> Any:
            state = step(R, b_hh, state, a)
            return state, state[0] if cell == "LSTM" else state

        return lax.scan(one, (zero, zero) if cell == "LSTM" else zero, x @ W + b_ih)[1]

    def back(weights: Any, x: Any, d_y: Any) -> Any:
        return jax.vjp(lambda weights: forward(weights, x), weights)[1](d_y)[0]

    infer, trained = jax.jit(forward), jax.jit(back)
    if ahead:
        trained = trained.lower(weights, x, d_y).compile()

    def train() -> Any:
        return jax.block_until_ready(trained(weights, x, d_y))

    def inference() -> Any:
        return infer(weights, x).block_until_ready()

    def answers() -> dict[str, Any]:
        d_W, d_R, *d_biases = map(np.asarray, train())
        return {"y": np.asarray(inference()), **dict(zip(PARAMETERS, (d_W.T, d_R.T, *d_biases), strict=True))}

    return Job({"train": train, "inference": inference}, answers)


def tutorial(file: str, epochs: int) -> Job:
    """Do the tutorial's job by a jitted step for every sequence, or by one jitted scan for every epoch."""
    import tutorial as program  # brings rnn_xp along, at no more than 30 ms

    data = stored(file)
    rate = program.RATE

    def loss(weights: Any, x: Any, label: Any) -> Any:
        Wxh, Whh, Why, bh, by = weights

        def one(h: Any, x: Any) -> Any:
            return jnp.tanh(Wxh @ x + Whh @ h + bh[:, 0]), None

        h, _ = lax.scan(one, jnp.zeros(len(Whh), x.dtype), x)
        z = (Why @ h + by[:, 0])[0]
        return jnp.logaddexp(0, z) - label * z

    def update(weights: Any, x: Any, label: Any) -> Any:
        value, d_weights = jax.value_and_grad(loss)(weights, x, label)
        return jax.tree.map(lambda w, d: w - rate * d, weights, d_weights), value

    @jax.jit
    def one_step(weights: Any, total: Any, X: Any, y: Any, i: Any) -> Any:
        weights, value = update(weights, X[i], y[i])
        return weights, total + value

    @jax.jit
    def one_epoch(weights: Any, X: Any, y: Any) -> Any:
        weights, values = lax.scan(lambda weights, sample: update(weights, *sample), weights, (X, y))
        return weights, jnp.mean(values)

    def given() -> Any:
        weights = tuple(jnp.asarray(data[name], jnp.float32) for name in program.Weights._fields)
        return weights, jnp.asarray(data["X"], jnp.float32), jnp.asarray(data["y"], jnp.float32)

    def by_step() -> list[float]:
        weights, X, y = given()
        losses = []
        for _ in range(epochs):
            total = jnp.zeros(())
            for i in range(len(y)):
                weights, total = one_step(weights, total, X, y, i)
            losses.append(float(total) / len(y))
        return losses

    def by_scan() -> list[float]:
        weights, X, y = given()
        losses = []
        for _ in range(epochs):
            weights, mean = one_epoch(weights, X, y)
            losses.append(float(mean))
        return losses

    return Job({"step": by_step, "scan": by_scan})


JOBS = {"layer": layer, "tutorial": tutorial}
