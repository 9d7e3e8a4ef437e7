"""Which deltas are in force on a model, in which order, and how to take any one of them back exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor, nn

from kgedit.delta.low_rank import LowRankDelta, compose, weights_changed, wrong_base
from kgedit.delta.update import WeightUpdate, cast, edited_values
from kgedit.delta.weights import digest, editable_weight, hash_digests, write_weights
from kgedit.errors import AlreadyApplied, UnknownEdit


class Ledger:
    """The deltas in force on one model, in order of application.

    It keeps a copy of every touched weight as it was without any edit, and nothing is ever subtracted: taking
    back a delta recomputes the weights from that copy and the deltas that remain. Hence after any sequence of
    `apply` and `revert`, each weight equals, bit for bit, the unedited weight with the remaining deltas
    applied one after another; with none remaining it is the unedited weight itself.

    Every method either does all of what it says or raises and leaves the model and the ledger as they were.
    """

    def __init__(self, model: nn.Module) -> None:
        """Start with no delta in force on the model as it is now."""
        self._model = model
        self._deltas: dict[str, LowRankDelta] = {}  # id -> delta, in order of application
        self._lost: dict[str, dict[str, float]] = {}
        self._base: dict[str, Tensor] = {}  # touched weights without any edit
        self._base_digest: dict[str, str] = {}
        self._digest: dict[str, str] = {}  # touched weights as this ledger left them

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the deltas in force, in order of application."""
        return tuple(self._deltas)

    @property
    def deltas(self) -> tuple[LowRankDelta, ...]:
        """The deltas in force, each with the hash of the unedited weights as its base.

        So any of them can be saved and later applied to the unedited model, also when the deltas before it
        have been taken back meanwhile. What it was computed on, if that is something else, stands in its
        manifest under "computed_on".
        """
        return tuple(self._deltas.values())

    def lost(self, delta_id: str) -> dict[str, float]:
        """What the cast to the model's dtype lost when this delta was applied; see `Applied.lost`.

        Raises:
            UnknownEdit: No delta in force has this id.
        """
        self._get(delta_id)
        return dict(self._lost[delta_id])

    def base_hash(self, names: Iterable[str]) -> str:
        """`hash_weights` of the named weights as they are without any edit in force."""
        digests = {}
        for name in names:
            known = self._base_digest.get(name)
            digests[name] = known if known is not None else digest(name, editable_weight(self._model, name))
        return hash_digests(digests)

    def composed(self) -> LowRankDelta | None:
        """All deltas in force as one, on the unedited model; None when there is none."""
        if not self._deltas:
            return None
        return compose(*self.deltas, base_hash=self.base_hash(self._base))

    def apply(self, delta: LowRankDelta) -> str:
        """Write a delta into the model on top of those in force.

        Args:
            delta: Computed either on the weights as they are now or on the unedited weights.

        Returns:
            The delta's id, the handle for `revert`.

        Raises:
            AlreadyApplied: The same delta is in force.
            WrongBase: It was computed on other weights.
            WeightsChanged: Something else wrote to a weight since this ledger did.
            UnsupportedModel: A weight is missing or cannot be edited.
            EditDiverged: The result does not fit the model's dtype.
        """
        if delta.id in self._deltas:
            raise AlreadyApplied(f"the edit {delta.id} is in force already; applying it again would double it.")
        weights = {update.name: update.check_fits(self._model) for update in delta.updates}
        now = {name: digest(name, weight) for name, weight in weights.items()}
        self._check_untouched(now)
        unedited = hash_digests({name: self._base_digest.get(name, now[name]) for name in now})
        if delta.base_hash not in (unedited, hash_digests(now)):
            raise wrong_base(delta, unedited)
        values, lost = edited_values(delta.updates, weights)
        after = {name: digest(name, value) for name, value in values.items()}
        before = write_weights(weights, values)
        for name in weights:
            self._base.setdefault(name, before[name])
            self._base_digest.setdefault(name, now[name])
        self._digest |= after
        self._lost[delta.id] = lost
        self._deltas[delta.id] = _on_base(delta, unedited)
        return delta.id

    def revert(self, delta_id: str) -> None:
        """Take back one delta, whichever it is; the others stay in force in their order.

        Raises:
            UnknownEdit: No delta in force has this id.
            WeightsChanged: Something else wrote to a weight since this ledger did.
        """
        gone = self._get(delta_id)
        self._check_untouched({name: digest(name, editable_weight(self._model, name)) for name in gone.names})
        remaining = [delta for key, delta in self._deltas.items() if key != delta_id]
        weights = {name: editable_weight(self._model, name) for name in gone.names}
        values = {name: self._rebuilt(name, remaining) for name in gone.names}
        after = {name: digest(name, value) for name, value in values.items()}
        write_weights(weights, values)
        del self._deltas[delta_id], self._lost[delta_id]
        self._digest |= after
        self._forget({name for name in gone.names if not _updates_of(name, remaining)})

    def revert_all(self, *, force: bool = False) -> None:
        """Take back every delta: all touched weights become what they were before the first.

        Args:
            force: Also when something else wrote to them since; that is lost then.

        Raises:
            WeightsChanged: Something else wrote to a weight since this ledger did (not with `force`).
        """
        weights = {name: editable_weight(self._model, name) for name in self._base}
        if not force:
            self._check_untouched({name: digest(name, weight) for name, weight in weights.items()})
        write_weights(weights, self._base)
        self._deltas.clear()
        self._lost.clear()
        self._forget(set(self._base))

    def _get(self, delta_id: str) -> LowRankDelta:
        if delta_id not in self._deltas:
            known = ", ".join(self._deltas) or "none"
            raise UnknownEdit(f"no edit {delta_id!r} is in force; in force: {known}")
        return self._deltas[delta_id]

    def _check_untouched(self, now: dict[str, str]) -> None:
        for name, found in now.items():
            if self._digest.get(name, found) != found:
                raise weights_changed(name)

    def _rebuilt(self, name: str, deltas: list[LowRankDelta]) -> Tensor:
        # The same steps as apply took, each with its cast: only so is the result the same bit for bit.
        value = self._base[name]
        for update in _updates_of(name, deltas):
            value = cast(name, update.added_to(value), value.dtype)
        return value

    def _forget(self, names: set[str]) -> None:
        for name in names:
            del self._base[name], self._base_digest[name], self._digest[name]


def _updates_of(name: str, deltas: list[LowRankDelta]) -> list[WeightUpdate]:
    return [update for delta in deltas for update in delta.updates if update.name == name]


def _on_base(delta: LowRankDelta, base_hash: str) -> LowRankDelta:
    if delta.base_hash == base_hash:
        return delta
    return replace(delta, base_hash=base_hash, manifest={**delta.manifest, "computed_on": delta.base_hash})
