"""The recipe in PyTorch, as its users write it: its own initialisation, packed sequences, scheduler."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnn_xp as rx
from accuracy_runs.sets import Recipe


class Network(nn.Module):
    """A recurrent layer that reads both ways, the largest state of each unit, and a readout."""

    def __init__(self, recipe: Recipe, channels: int, classes: int) -> None:
        assert recipe.pool == "MaxPool"
        super().__init__()
        layer = getattr(nn, recipe.cell)
        self.rnn = layer(channels, recipe.hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(recipe.dropout)
        self.linear = nn.Linear(2 * recipe.hidden, classes)

    def forward(self, X: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        if lengths is None:
            states, _ = self.rnn(X)
        else:
            packed = pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, padding_value=-math.inf)
        return self.linear(self.dropout(states.max(dim=1).values))


def learn(
    recipe: Recipe, train: rx.data.Dataset, test: rx.data.Dataset, seed: int, epochs: int
) -> tuple[np.ndarray, float]:
    """Train; return the probabilities for the test part, and the last epoch's loss."""
    torch.manual_seed(seed)
    X, y = torch.tensor(train.X, dtype=torch.float32), torch.tensor(train.y)
    lengths = None if train.lengths is None else torch.tensor(train.lengths)
    network = Network(recipe, X.shape[2], len(train.classes))
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr)
    steps = epochs * -(-len(X) // recipe.batch_size)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(X)).split(recipe.batch_size):
            loss = loss_of(network(X[rows], None if lengths is None else lengths[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(rows)
    network.eval()
    with torch.no_grad():
        lengths = None if test.lengths is None else torch.tensor(test.lengths)
        outputs = network(torch.tensor(test.X, dtype=torch.float32), lengths)
    return outputs.softmax(dim=1).numpy(), total / len(X)
