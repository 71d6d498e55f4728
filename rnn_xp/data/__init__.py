"""Data on the host: sequences in files, in text, and in the tasks that come with the package."""

from rnn_xp.data.corpus import encode_file, vocabulary_of_file
from rnn_xp.data.files import load
from rnn_xp.data.labels import encode_labels
from rnn_xp.data.lanes import Lanes
from rnn_xp.data.matching import with_classes, with_features
from rnn_xp.data.scaling import Scaling, fit_scaling
from rnn_xp.data.sequences import (
    Dataset,
    check_finite,
    compact,
    pad,
    scatter,
    to_time_major,
    valid_steps,
)
from rnn_xp.data.sliding import sliding_windows, split_series
from rnn_xp.data.tasks import japanese_vowels, pickup_gesture, plaid, sign_of_sum
from rnn_xp.data.text import Vocabulary, python_text, split, trigram_bits, vocabulary, windows

__all__ = [
    "Dataset",
    "Lanes",
    "Scaling",
    "Vocabulary",
    "check_finite",
    "compact",
    "encode_file",
    "encode_labels",
    "fit_scaling",
    "japanese_vowels",
    "load",
    "pad",
    "pickup_gesture",
    "plaid",
    "python_text",
    "scatter",
    "sign_of_sum",
    "sliding_windows",
    "split",
    "split_series",
    "to_time_major",
    "trigram_bits",
    "valid_steps",
    "vocabulary",
    "vocabulary_of_file",
    "windows",
    "with_classes",
    "with_features",
]
