"""What others have published for the same splits: each number read in the source that is named."""

from __future__ import annotations

from typing import NamedTuple


class Result(NamedTuple):
    """An accuracy, its standard deviation over runs where one is told, the model, and the source's number."""

    accuracy: float
    deviation: float | None
    model: str
    source: int


SOURCES = {
    1: "H. Ismail Fawaz, G. Forestier, J. Weber, L. Idoumghar, P.-A. Muller: Deep learning for time series "
    "classification: a review. Data Mining and Knowledge Discovery 33 (2019), "
    "[doi:10.1007/s10618-019-00619-1](https://doi.org/10.1007/s10618-019-00619-1). Mean and standard "
    "deviation of the runs in `results-ucr-128.csv` (five) and `results-mts.csv` (ten) of its "
    "[repository](https://github.com/hfawaz/dl-4-tsc/tree/master/results). TWIESN is an echo state network: "
    "its recurrent weights are drawn, not trained.",
    2: "F. Karim, S. Majumdar, H. Darabi, S. Chen: LSTM fully convolutional networks for time series "
    "classification. IEEE Access 6 (2018), 1662-1669, [arXiv:1709.05206](https://arxiv.org/abs/1709.05206). "
    "One run with 8, 64 or 128 cells, the checkpoint of least training loss: "
    "`Results/train_loss_old_datasets.csv` of its "
    "[repository](https://github.com/titu1994/LSTM-FCN).",
    3: "F. Karim, S. Majumdar, H. Darabi, S. Harford: Multivariate LSTM-FCNs for time series classification. "
    "[arXiv:1801.04503](https://arxiv.org/abs/1801.04503). One run, two digits: the table in its "
    "[repository](https://github.com/titu1994/MLSTM-FCN).",
}

RECURRENT = {
    "JapaneseVowels": Result(0.9654, 0.0074, "TWIESN", 1),
    "ItalyPowerDemand": Result(0.8706, 0.0370, "TWIESN", 1),
    "GunPoint": Result(0.9893, 0.0037, "TWIESN", 1),
    "PickupGestureWiimoteZ": Result(0.616, 0.0573, "TWIESN", 1),
    "ACSF1": Result(0.592, 0.0661, "TWIESN", 1),
}
"""Recurrent networks without convolutions."""

HYBRID = {
    "JapaneseVowels": Result(1.00, None, "MLSTM-FCN", 3),
    "ItalyPowerDemand": Result(0.9621, None, "LSTM-FCN", 2),
    "GunPoint": Result(1.0, None, "LSTM-FCN", 2),
}
"""Recurrent networks beside convolutions."""

WITHOUT = {
    "JapaneseVowels": Result(0.9930, 0.0019, "FCN", 1),
    "ItalyPowerDemand": Result(0.9664, 0.0040, "MCDCNN", 1),
    "GunPoint": Result(1.0, 0.0, "FCN", 1),
    "PickupGestureWiimoteZ": Result(0.744, 0.0297, "FCN", 1),
    "ACSF1": Result(0.916, 0.0261, "ResNet", 1),
}
"""No recurrence: the best of that review's networks on each set, all convolutional."""

GROUPS = (RECURRENT, HYBRID, WITHOUT)
"""In the order of the table's columns."""
