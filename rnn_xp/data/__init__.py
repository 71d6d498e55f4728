"""Data on the host: sequences in files, in text, and in the tasks that come with the package."""

from rnn_xp.data.files import load
from rnn_xp.data.labels import encode_labels, with_classes
from rnn_xp.data.sequences import (
    Dataset,
    Scaling,
    check_finite,
    fit_scaling,
    pad,
    to_time_major,
    valid_steps,
    with_features,
)
from rnn_xp.data.tasks import japanese_vowels, sign_of_sum
from rnn_xp.data.text import Vocabulary, python_text, split, trigram_bits, vocabulary, windows

__all__ = [
    "Dataset",
    "Scaling",
    "Vocabulary",
    "check_finite",
    "encode_labels",
    "fit_scaling",
    "japanese_vowels",
    "load",
    "pad",
    "python_text",
    "sign_of_sum",
    "split",
    "to_time_major",
    "trigram_bits",
    "valid_steps",
    "vocabulary",
    "windows",
    "with_classes",
    "with_features",
]
