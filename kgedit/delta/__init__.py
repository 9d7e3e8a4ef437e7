"""Edits as data: low-rank changes of named weights, and the ledger of those in force on a model."""

from kgedit.delta.ledger import Ledger
from kgedit.delta.low_rank import Applied, LowRankDelta, compose
from kgedit.delta.update import WeightUpdate
from kgedit.delta.weights import hash_weights

__all__ = ["Applied", "Ledger", "LowRankDelta", "WeightUpdate", "compose", "hash_weights"]
