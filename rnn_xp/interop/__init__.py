"""Weights from and to other libraries."""

from rnn_xp.interop import keras as keras
from rnn_xp.interop import parity as parity
from rnn_xp.interop import torch as torch
