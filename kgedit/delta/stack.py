"""The deltas that are applied to a model, in their order, and the exact way back from each.

The one engine of undo: the editor, the journal of ingestion and the evaluation all keep their deltas here. A copy of
every touched weight as it was without any delta is kept, and nothing is ever subtracted: a weight is computed anew
from that copy and the deltas that remain, each with its cast, as if they had been applied one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kgedit.delta.compose import compose
from kgedit.delta.delta import Delta, weights_changed, wrong_base
from kgedit.delta.hook import Detach
from kgedit.delta.weights import all_digests, digest, editable_weight, hash_digests, write_weights
from kgedit.errors import AlreadyApplied, UnknownEdit

# The weights that a step may write, their values before it, and deltas, bases and digests before it.
_State = tuple[dict[str, Delta], dict[str, Tensor], dict[str, str], dict[str, str]]
_Undo = tuple[Mapping[str, nn.Parameter], dict[str, Tensor], _State]


class Mark(NamedTuple):
    """A state of a stack: the number of steps under way, the applied deltas, and what removes their hooks."""

    depth: int
    deltas: tuple[Delta, ...]
    attached: dict[str, Detach | None]


class DeltaStack:
    """A model, its unedited weights, and the deltas applied to it.

    After any sequence of calls, each weight equals, bit for bit, the unedited weight with the deltas of the stack
    applied one after another; with none it is the unedited weight itself. Every method either does all of what it
    says or raises and leaves model and stack as they were.

    Attributes:
        model: The model.
    """

    def __init__(self, model: nn.Module, *, sole_writer: bool = False) -> None:
        """Start with no delta on the model as it is now.

        Args:
            model: The model, unedited.
            sole_writer: Nothing else writes to the model as long as the stack is used. Then all weights are hashed
                once, now; otherwise the touched ones are at each step, and a foreign change of them is noticed.
        """
        self.model = model
        self._sole_writer = sole_writer
        self._deltas: dict[str, Delta] = {}  # id -> delta, in order of application
        self._detach: dict[str, Detach | None] = {}  # id -> what removes the part that acts at run time
        self._base: dict[str, Tensor] = {}  # touched weights without any delta
        self._base_digest: dict[str, str] = all_digests(model) if sole_writer else {}
        self._digest: dict[str, str] = {}  # touched weights as this stack left them, where a foreign change counts
        self._undo: list[_Undo] = []  # what undoes each step under way, the outermost first

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the applied deltas, in order of application."""
        return tuple(self._deltas)

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """The applied deltas, each with the hash of the unedited weights as its base.

        So any of them can be saved and later applied to the unedited model, also when the deltas before it
        have been reverted meanwhile.
        """
        return tuple(self._deltas.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that the applied deltas rewrite."""
        return tuple(self._base)

    # One delta at a time

    def apply(self, delta: Delta) -> str:
        """Apply a delta on top of the others.

        Args:
            delta: Computed either on the weights as they are now or on the unedited weights.

        Returns:
            The delta's id, the handle for `revert`.

        Raises:
            AlreadyApplied: The same delta is applied.
            WrongBase: It was computed on other weights.
            WeightsChanged: Something else wrote to a weight since this stack did.
            UnsupportedModel: A weight is missing or cannot be edited.
            EditDiverged: The result does not fit the model's dtype.
        """
        based = self.accepted(delta)
        self.put([*self.deltas, based])
        self._watch(based.names)
        return based.id

    def revert(self, delta_id: str) -> None:
        """Revert one delta, whichever it is; the others stay in their order.

        Raises:
            UnknownEdit: No applied delta has this id.
            WeightsChanged: Something else wrote to a weight since this stack did.
        """
        if delta_id not in self._deltas:
            known = ", ".join(self._deltas) or "none"
            raise UnknownEdit(f"no applied edit has the id {delta_id!r}; applied: {known}")
        names = self._deltas[delta_id].names
        self._check_untouched(self._digests_of(names))
        self.put([delta for id, delta in self._deltas.items() if id != delta_id])
        self._watch(names)

    def revert_all(self, *, force: bool = False) -> None:
        """Revert every delta: all touched weights become what they were before the first.

        Args:
            force: Also when something else wrote to them since; that is lost then.

        Raises:
            WeightsChanged: Something else wrote to a weight since this stack did (not with `force`).
        """
        if not force:
            self._check_untouched(self._digests_of(self._base))
        self.put([])

    def accepted(self, delta: Delta) -> Delta:
        """The delta on the unedited base, if it was computed on that or on the weights as they are now.

        Raises:
            AlreadyApplied, WrongBase, WeightsChanged, UnsupportedModel: See `apply`.
        """
        if delta.id in self._deltas:
            raise AlreadyApplied(f"the edit {delta.id} is applied already; applying it again would double it.")
        delta.weights_in(self.model)
        now = self._digests_of(delta.names)
        self._check_untouched(now)
        unedited = hash_digests({name: self._base_digest.get(name, now[name]) for name in now})
        if delta.base_hash not in (unedited, hash_digests(now)):
            raise wrong_base(delta, unedited)
        return delta.on_base(unedited)

    # Several at once

    def put(self, deltas: Sequence[Delta]) -> None:
        """Have exactly these deltas applied, in this order.

        Only what differs is computed: a weight whose deltas begin with those that it has goes on from where it is.

        Raises:
            AlreadyApplied: One is named twice.
            WrongBase: One was made for other unedited weights.
            UnsupportedModel: A weight is missing or cannot be edited.
            EditDiverged: The result does not fit the model's dtype.
        """
        wanted = {delta.id: delta for delta in deltas}
        if len(wanted) < len(deltas):
            raise AlreadyApplied("a delta stands twice in the list that is to be applied; name each once")
        fresh = [delta for id, delta in wanted.items() if id not in self._deltas]
        for delta in fresh:
            delta.weights_in(self.model)
        base_digest = self._unedited_digests({name for delta in fresh for name in delta.names})
        for delta in fresh:
            base_hash = hash_digests({name: base_digest[name] for name in delta.names})
            if delta.base_hash != base_hash:
                raise wrong_base(delta, base_hash)

        values = self._values(wanted)
        weights = {name: self.model.get_parameter(name) for name in values}
        with self._undoing(weights) as before:
            write_weights(weights, values)
            self._attach(wanted)
            for name in values:
                if name not in self._base:
                    self._base[name] = before[name]
                    self._base_digest[name] = base_digest[name]
                self._digest.pop(name, None)
            self._deltas = wanted
            self._forget(self._base.keys() - {name for delta in deltas for name in delta.names})

    @contextmanager
    def trial(self, deltas: Sequence[Delta]) -> Iterator[None]:
        """Have exactly these deltas applied for the length of the block, then bit for bit what was before."""
        names = {name for delta in (*self._deltas.values(), *deltas) for name in delta.names}
        with self._undoing({name: self.model.get_parameter(name) for name in names}, always=True):
            self.put(deltas)
            yield

    def mark(self) -> Mark:
        """The present state, for `roll_back`."""
        return Mark(len(self._undo), tuple(self._deltas.values()), dict(self._detach))

    def roll_back(self, mark: Mark) -> None:
        """Return to a marked state, also from the midst of a step or of its clean-up, wherever it was interrupted.

        The model's hooks are those of the marked state already; see `as_before_on_error`.
        """
        self._detach = dict(mark.attached)
        self._undo_to(mark.depth, attached=True)
        if tuple(self._deltas.values()) != mark.deltas:
            self.put(mark.deltas)

    def composed(self) -> Delta | None:
        """All applied deltas as one, on the unedited model; None when there is none.

        Raises:
            UnsupportedExport: See `compose`.
        """
        return self.joined(self.deltas) if self._deltas else None

    # What the weights are

    def base_hash(self, names: Iterable[str]) -> str:
        """`hash_weights` of the named weights as they are without any delta."""
        return hash_digests(self._unedited_digests(names))

    def on_base(self, delta: Delta) -> Delta:
        """The delta with the hash of the unedited weights as its base, so that it can be applied in any company."""
        return delta.on_base(self.base_hash(delta.names))

    def joined(self, deltas: Sequence[Delta]) -> Delta:
        """Several deltas as one, with the hash of the unedited weights as its base; see `compose`."""
        return compose(*deltas, base_hash=self.base_hash({name for delta in deltas for name in delta.names}))

    def hash_unedited(self) -> str:
        """`model_hash` of the model without any delta."""
        digests = self._base_digest if self._sole_writer else {**all_digests(self.model), **self._base_digest}
        return hash_digests(digests)

    def hash(self) -> str:
        """`model_hash` of the weights as they are now."""
        if not self._sole_writer:
            return hash_digests(all_digests(self.model))
        return hash_digests({**self._base_digest, **self._digests_of(self._base)})

    def norms(self) -> dict[str, float]:
        """Relative Frobenius norm ||W - W_0|| / ||W_0|| of each weight that the applied deltas touch."""
        norms = {}
        for name, base in self._base.items():
            change = self.model.get_parameter(name).detach().double() - base.double()
            norms[name] = float(torch.linalg.vector_norm(change) / torch.linalg.vector_norm(base.double()))
        return norms

    def growth(self) -> dict[str, float]:
        """Frobenius norm of each weight that the applied deltas touch, ||W|| / ||W_0||."""
        sizes = {name: torch.linalg.vector_norm(base.double()) for name, base in self._base.items()}
        return {
            name: float(torch.linalg.vector_norm(self.model.get_parameter(name).detach().double()) / size)
            for name, size in sizes.items()
        }

    # Inside

    @contextmanager
    def _undoing(self, weights: Mapping[str, nn.Parameter], *, always: bool = False) -> Iterator[dict[str, Tensor]]:
        """Undo what the block does to these weights and to the stack, if it fails or in any case.

        Yields:
            Name -> copy of the weight as it is now.
        """
        saved = {name: weight.detach().clone() for name, weight in weights.items()}
        state = (self._deltas, dict(self._base), dict(self._base_digest), dict(self._digest))
        self._undo.append((weights, saved, state))
        depth = len(self._undo)
        try:
            yield saved
        except BaseException:
            self._undo_to(depth - 1)
            raise
        if always:
            self._undo_to(depth - 1)
        else:
            self._undo.pop()

    def _undo_to(self, depth: int, *, attached: bool = False) -> None:
        """Undo the steps begun since the stack had so many of them open; what is interrupted can be called again.

        Args:
            depth: So many.
            attached: The hooks are those of the earlier state already.
        """
        while len(self._undo) > depth:
            weights, saved, state = self._undo[-1]
            write_weights(weights, saved)
            self._deltas, self._base, self._base_digest, self._digest = state
            if not attached:
                self._attach(self._deltas)
            self._undo.pop()

    def _values(self, wanted: Mapping[str, Delta]) -> dict[str, Tensor]:
        """New values of the weights whose list of deltas changes; nothing is written."""
        values: dict[str, Tensor] = {}
        now, then = _by_name(self._deltas.values()), _by_name(wanted.values())
        for name in (*then, *(name for name in now if name not in then)):
            applied, asked = now.get(name, []), then.get(name, [])
            ids = [delta.id for delta in applied]
            if ids == [delta.id for delta in asked]:
                continue
            # The same steps as one after another, each with its cast: only so is the result the same bit for bit.
            if ids == [delta.id for delta in asked[: len(ids)]]:
                value, missing = self.model.get_parameter(name).detach(), asked[len(ids) :]
            else:
                value, missing = self._base[name], asked
            for delta in missing:
                value = delta.edited(name, value)
            values[name] = value
        return values

    def _attach(self, wanted: Mapping[str, Delta]) -> None:
        """Put on and remove what acts at run time; what stays in its order is left where it is."""
        staying = [id for id in self._detach if id in wanted]
        if list(wanted)[: len(staying)] != staying:
            staying = []
        for id in reversed(list(self._detach)):
            if id not in staying:
                detach = self._detach.pop(id)
                if detach is not None:
                    detach()
        for id, delta in wanted.items():
            if id not in self._detach:
                self._detach[id] = delta.attach(self.model)

    def _digests_of(self, names: Iterable[str]) -> dict[str, str]:
        return {name: digest(name, editable_weight(self.model, name)) for name in names}

    def _unedited_digests(self, names: Iterable[str]) -> dict[str, str]:
        known = self._base_digest
        return {
            name: known[name] if name in known else digest(name, editable_weight(self.model, name)) for name in names
        }

    def _check_untouched(self, now: Mapping[str, str]) -> None:
        for name, actual in now.items():
            if self._digest.get(name, actual) != actual:
                raise weights_changed(name)

    def _watch(self, names: Iterable[str]) -> None:
        """Note how the stack left these weights."""
        if not self._sole_writer:
            touched = [name for name in names if name in self._base]
            self._digest |= self._digests_of(touched)

    def _forget(self, names: Iterable[str]) -> None:
        """Drop the copies of weights that no delta touches any more."""
        for name in list(names):
            del self._base[name]
            self._digest.pop(name, None)
            if not self._sole_writer:
                del self._base_digest[name]


def _by_name(deltas: Iterable[Delta]) -> dict[str, list[Delta]]:
    """Parameter name -> the deltas that rewrite it, in order."""
    of_name: dict[str, list[Delta]] = {}
    for delta in deltas:
        for name in delta.names:
            of_name.setdefault(name, []).append(delta)
    return of_name
