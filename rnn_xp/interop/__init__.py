"""Weights from and to other libraries."""

from rnn_xp.interop import torch as torch
