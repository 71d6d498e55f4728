"""What a training is given: data, split and scaled, and what is known of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from rnn_xp.cli.runs import About
from rnn_xp.data import Dataset, Lanes


class Job(NamedTuple):
    """What there is to be learnt, or a rank's part of it; the inputs are scaled."""

    about: About
    train: Dataset | Lanes
    validation: Dataset | None
    test: Dataset | None
    sequences: int  # to train on, or lanes; of all ranks
    held: int  # sequences, or steps of a text, to validate on; of all ranks
    highest: int = -1  # token to train on, of all ranks; below 0 where the inputs are features
    trigram_bits: float | None = None  # the bar for a language model

    @property
    def shape(self) -> tuple[int, int]:
        """The number of sequences, or lanes, of all ranks, and of the steps of the longest."""
        steps: int = self.train.steps if isinstance(self.train, Lanes) else self.train.X.shape[1]
        return self.sequences, steps

    @property
    def is_ragged(self) -> bool:
        """Whether lengths differ."""
        return isinstance(self.train, Dataset) and self.train.lengths is not None

    @property
    def num_tokens(self) -> int:
        """How many tokens there are; 0 where the inputs are features."""
        if self.about.vocabulary is not None:
            return len(self.about.vocabulary.characters)
        assert isinstance(self.train, Dataset)
        return max(1, self.highest + 1) if self.train.X.ndim == 2 else 0

    @property
    def input_size(self) -> int:
        """How many features there are."""
        assert isinstance(self.train, Dataset)
        return int(self.train.X.shape[2])

    @property
    def targets(self) -> NDArray[Any]:
        """What is to be learnt, but of lanes."""
        assert isinstance(self.train, Dataset)
        assert self.train.y is not None
        return self.train.y
