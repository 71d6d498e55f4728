"""Store what Keras writes and answers: run this script, with Keras 3 on any backend, to write the files anew.

`sequential` has every layer that has weights, `functional` has a way around two layers and a model within.
Each writes a ``.weights.h5`` file; answers.npz holds what ``get_weights()`` returned, x and y of both; the
token 0 is masked.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LENGTHS = np.array([6, 3, 1, 4])


def sequential(keras):
    """Return a model of every layer, over tokens."""
    layers, steps = keras.layers, {"return_sequences": True}
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(7, 3, mask_zero=True),
            layers.Dropout(0.2),
            layers.Bidirectional(layers.LSTM(2, **steps)),
            layers.LSTM(3, **steps),
            layers.Bidirectional(layers.GRU(2, reset_after=False, **steps)),
            layers.GRU(3, **steps),
            layers.Dense(4),
            layers.SimpleRNN(2),
            layers.Dense(3, use_bias=False),
        ]
    )


def functional(keras):
    """Return a model with a way around two layers, and another model within."""
    layers, steps = keras.layers, {"return_sequences": True}
    x = keras.Input((None, 3))
    y = layers.Dense(3, name="back")(layers.GRU(4, name="first", **steps)(x))
    y = layers.Add()([x, y])
    within = keras.Sequential([keras.Input((None, 3)), layers.Dense(2), layers.LSTM(4)])
    return keras.Model(x, layers.Dense(2)(within(y)))


def main():
    """Write the files."""
    import keras

    random, stored = np.random.default_rng(0), {}
    valid = np.arange(6) < LENGTHS[:, None]
    inputs = {
        "sequential": np.where(valid, random.integers(1, 7, (4, 6)), 0),
        "functional": random.standard_normal((4, 6, 3)).astype("float32"),
    }
    for name, build in (("sequential", sequential), ("functional", functional)):
        model = build(keras)
        weights = [random.standard_normal(each.shape).astype("float32") for each in model.get_weights()]
        model.set_weights(weights)
        if name == "functional":  # its file then holds an optimizer too
            model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
        model.save_weights(HERE / f"{name}.weights.h5")
        stored |= {f"{name}_{i:02}": each for i, each in enumerate(weights)}
        stored |= {f"x_{name}": inputs[name], f"y_{name}": model.predict(inputs[name], verbose=0)}
    np.savez_compressed(HERE / "answers.npz", keras=keras.__version__, **stored)


if __name__ == "__main__":
    main()
