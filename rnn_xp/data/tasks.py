"""Tasks that need no file of the user's: the tutorial's, and a recorded one from the aeon package."""

from __future__ import annotations

import numpy as np

from rnn_xp import checks
from rnn_xp.data.files import NEEDS_AEON, load
from rnn_xp.data.sequences import Dataset

_DATA = 3  # what a seed is used for besides the weights, which take it as it is


def sign_of_sum(n: int = 1000, length: int = 10, seed: int = 0) -> Dataset:
    """Return sequences of independent standard-normal numbers; the class says whether their sum is positive.

    Parameters
    ----------
    n : int
        Number of sequences N.
    length : int
        Steps of each T.
    seed : int
        The same seed gives the same data.

    Returns
    -------
    Dataset
        X (N, T, 1), y (N,); classes "negative" and "positive".

    Examples
    --------
    >>> data = sign_of_sum(n=2)
    >>> data.X.shape, [data.classes[label] for label in data.y]
    ((2, 10, 1), ['negative', 'negative'])
    """
    shape = (checks.integer("n", n), checks.integer("length", length), 1)
    X = np.random.default_rng([checks.integer("seed", seed, 0), _DATA]).standard_normal(shape)
    y = (X.sum(axis=(1, 2)) > 0).astype(np.int64)
    return Dataset(X, y, classes=("negative", "positive"), features=("x0",))


def japanese_vowels() -> tuple[Dataset, Dataset]:
    """Return the training and the test part of JapaneseVowels: which of nine men is speaking.

    270 and 370 utterances of two vowels, 12 channels (cepstrum), 7 to 29 steps (Kudo, Toyama and Shimbo,
    1999). The files are those in the wheel of the aeon package: nothing is downloaded.

    Raises
    ------
    ValueError
        If aeon is not installed.
    """
    from importlib import resources

    try:
        folder = resources.files("aeon") / "datasets" / "data" / "JapaneseVowels"
    except ImportError as error:
        msg = f"The task japanese_vowels {NEEDS_AEON}"
        raise ValueError(msg) from error
    with (
        resources.as_file(folder / "JapaneseVowels_TRAIN.ts") as train,
        resources.as_file(folder / "JapaneseVowels_TEST.ts") as test,
    ):
        return load(train), load(test)
