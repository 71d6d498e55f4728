"""Tasks that need no file of the user's: the tutorial's, and recorded ones from wheels of other packages."""

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
    return _from_wheel("japanese_vowels", "aeon", "JapaneseVowels")


def pickup_gesture() -> tuple[Dataset, Dataset]:
    """Return the training and the test part of PickupGestureWiimoteZ: which of ten gestures it was.

    50 and 50 recordings of a hand-held controller's acceleration along one axis, 29 to 361 steps
    (Guna, Humar and Pogačnik, 2012). The files are those in the wheel of the aeon package: nothing is
    downloaded.

    Raises
    ------
    ValueError
        If aeon is not installed.
    """
    return _from_wheel("pickup_gesture", "aeon", "PickupGestureWiimoteZ")


def plaid() -> tuple[Dataset, Dataset]:
    """Return the training and the test part of PLAID: which of eleven kinds of appliance draws current.

    537 and 537 recordings of one current, 100 to 1344 steps (Gao, Giri, Kara and Bergés, 2014). The files are
    those in the wheel of the sktime package, which aeon reads: nothing is downloaded.

    Raises
    ------
    ValueError
        If sktime or aeon is not installed.
    """
    return _from_wheel("plaid", "sktime", "PLAID")


def _from_wheel(task: str, package: str, name: str) -> tuple[Dataset, Dataset]:
    """Return the parts of a data set whose files lie in an installed package."""
    from importlib import resources

    try:
        resources.files("aeon")  # it reads the files, whosever they are
    except ImportError as error:
        msg = f"The task {task} {NEEDS_AEON}"
        raise ValueError(msg) from error
    try:
        folder = resources.files(package) / "datasets" / "data" / name
    except ImportError as error:
        msg = f"The task {task} needs the {package} package; install it with: pip install {package}"
        raise ValueError(msg) from error
    with (
        resources.as_file(folder / f"{name}_TRAIN.ts") as train,
        resources.as_file(folder / f"{name}_TEST.ts") as test,
    ):
        return load(train), load(test)
