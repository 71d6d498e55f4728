"""Why a model does not learn: what its numbers, its data and its history tell, each finding with a remedy."""

from rnn_xp.diagnosis.checkup import diagnose as diagnose
from rnn_xp.diagnosis.finding import Diagnosis as Diagnosis
from rnn_xp.diagnosis.finding import Finding as Finding

__all__ = ["Diagnosis", "Finding", "diagnose"]
