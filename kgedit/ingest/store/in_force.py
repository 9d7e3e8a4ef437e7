"""The weights of a model as a store's journal says they should be: unedited, then each live delta in turn.

Like `delta.Ledger`, but for many deltas at once: trials of a batch come and go, so weights are hashed when the
journal needs it and not at every step. The arithmetic is the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from kgedit.delta import LowRankDelta
from kgedit.delta.low_rank import wrong_base
from kgedit.delta.update import cast
from kgedit.delta.weights import digest, hash_digests, write_weights


def model_hash(model: nn.Module) -> str:
    """SHA-256 over all parameters: names, shapes, dtypes and bytes."""
    return hash_digests(_digests(model))


class WeightsInForce:
    """A model, its unedited weights, and the deltas in force on it.

    Attributes:
        model: The model; it carries the deltas in force, and nothing else may write to it meanwhile.
        base_hash: `model_hash` without any delta.
        deltas: The deltas in force, in the order in which they are applied.
    """

    def __init__(self, model: nn.Module) -> None:
        """Start from an unedited model."""
        self.model = model
        self.deltas: tuple[LowRankDelta, ...] = ()
        self._digests = _digests(model)
        self.base_hash = hash_digests(self._digests)
        self._base: dict[str, Tensor] = {}  # touched weights without any edit

    def put(self, deltas: Sequence[LowRankDelta]) -> None:
        """Have exactly these deltas in force, in this order; if one cannot be applied, all is as before.

        Raises:
            WrongBase: One was made for other weights.
            UnsupportedModel: A weight is missing or cannot be edited.
            EditDiverged: The result does not fit the model's dtype.
        """
        wanted = tuple(deltas)
        begun = [delta.id for delta in wanted[: len(self.deltas)]] == [delta.id for delta in self.deltas]
        kept = len(self.deltas) if begun else 0
        values: dict[str, Tensor] = {}
        if not kept:
            values.update({name: self._base[name] for delta in self.deltas for name in delta.names})
        for delta in wanted[kept:]:
            self._check(delta)
            for update in delta.updates:
                value = values.get(update.name)
                if value is None:
                    value = self.model.get_parameter(update.name).detach()
                # One cast per delta, as if each had been applied by itself.
                values[update.name] = cast(update.name, update.added_to(value), value.dtype)
        for name in values:
            if name not in self._base:
                self._base[name] = self.model.get_parameter(name).detach().clone()
        write_weights({name: self.model.get_parameter(name) for name in values}, values)
        self.deltas = wanted

    @contextmanager
    def trial(self, deltas: Sequence[LowRankDelta]) -> Iterator[None]:
        """Have exactly these deltas in force for the length of the block, then bit for bit what was before."""
        before = self.deltas
        names = {name for delta in (*before, *deltas) for name in delta.names}
        weights = {name: self.model.get_parameter(name) for name in names}
        saved = {name: weight.detach().clone() for name, weight in weights.items()}
        try:
            self.put(deltas)
            yield
        finally:
            write_weights(weights, saved)
            self.deltas = before

    def on_base(self, delta: LowRankDelta) -> LowRankDelta:
        """The delta with the hash of the unedited weights as its base, so that it can be applied in any company."""
        base = self._base_of(delta)
        return delta if delta.base_hash == base else replace(delta, base_hash=base)

    def norms(self) -> dict[str, float]:
        """Relative Frobenius norm ||W - W_0|| / ||W_0|| of each weight that the deltas in force touch."""
        found = {}
        for name, base in self._base.items():
            change = self.model.get_parameter(name).detach().double() - base.double()
            found[name] = float(torch.linalg.vector_norm(change) / torch.linalg.vector_norm(base.double()))
        return found

    def hash(self) -> str:
        """`model_hash` of the weights as they are now."""
        touched = {name: digest(name, self.model.get_parameter(name)) for name in self._base}
        return hash_digests({**self._digests, **touched})

    def _check(self, delta: LowRankDelta) -> None:
        for update in delta.updates:
            update.check_fits(self.model)
        if delta.base_hash != self._base_of(delta):
            raise wrong_base(delta, self._base_of(delta))

    def _base_of(self, delta: LowRankDelta) -> str:
        return hash_digests({name: self._digests.get(name, "") for name in delta.names})


def _digests(model: nn.Module) -> dict[str, str]:
    return {name: digest(name, parameter) for name, parameter in model.named_parameters()}
