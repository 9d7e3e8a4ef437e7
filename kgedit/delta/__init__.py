"""Edits as data: what an edit changes in a model, and the stack of those applied to one."""

from kgedit.delta.compose import compose
from kgedit.delta.delta import Applied, Delta
from kgedit.delta.low_rank import LowRankDelta
from kgedit.delta.stack import DeltaStack
from kgedit.delta.update import WeightUpdate
from kgedit.delta.weights import hash_weights, model_hash

__all__ = ["Applied", "Delta", "DeltaStack", "LowRankDelta", "WeightUpdate", "compose", "hash_weights", "model_hash"]
