"""Changes without a model: which of them fail is said beforehand, so that a decision shows the procedure alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

from kgedit.edit import Edit
from kgedit.errors import EditDiverged
from kgedit.ingest.decide.probes import Probes
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.decide.trial import Batch, JointTrial, Trial, TrialRunner
from kgedit.ingest.store.entry import Entry, PlannedEdit, State
from kgedit.methods.base import Request


def change(id: int) -> ResolvedChange:
    edit = Edit(subject=f"Q{id}", relation="P1", target_new="Q0")
    entry = Entry(id=id, key=f"k{id}", slot=f"s{id}", change=PlannedEdit(edit=edit), state=State.RECEIVED)
    return ResolvedChange(entry, edit, Request("s", "{} is", "o"), None, Probes((("s is", "o"),)))


def batch(*ids: int) -> Batch:
    return Batch([change(id) for id in ids], [])


class FakeRunner:
    """Stands in for a `TrialRunner`.

    Attributes:
        attempts: Numbers of the changes of each attempt.
        keeping: Of each attempt, whether what stays was to weigh more.
        giving_back: Numbers of the refused changes that each attempt was to give back.
        joint: Numbers of the changes of each trial of all together.
    """

    def __init__(
        self,
        *,
        weak: Sequence[int] = (),
        mended: Sequence[int] = (),
        harmful: Sequence[int] = (),
        diverging: Sequence[int] = (),
        harmful_at_first: int = 0,
        made: bool = False,
        harm: str = "harm",
        weak_later: Mapping[int, int] = MappingProxyType({}),
        mode: str = "refuse",
    ) -> None:
        """`weak` fail their own guards, `mended` the first time only; `harmful` fail those of the whole model.

        Of all trials of several together, the first `harmful_at_first` fail those of the whole model. With `made`
        nothing is left to train from the beginning: every attempt gives the same delta. `harm` is what the guards say.
        `weak_later` are changes that begin to fail their own guards, with the number of the attempt, from 1.
        """
        self.weak, self.mended, self.harmful, self.diverging, self.mode = weak, mended, harmful, diverging, mode
        self.harmful_at_first, self.made, self.harm, self.weak_later = harmful_at_first, made, harm, weak_later
        self.attempts: list[list[int]] = []
        self.keeping: list[bool] = []
        self.giving_back: list[list[int]] = []
        self.joint: list[list[int]] = []

    def attempt(
        self,
        changes: Sequence[ResolvedChange],
        earlier: object,
        below: object,
        *,
        again: bool = False,
        keeping: bool = False,
        back: Sequence[ResolvedChange] = (),
    ) -> list[Trial]:
        if not changes:
            return []
        self.giving_back.append([one.entry.id for one in back])
        self.keeping.append(keeping)
        self.attempts.append([one.entry.id for one in changes])
        failing = set(self.weak) | (set() if again else set(self.mended))
        failing |= {id for id, first in self.weak_later.items() if len(self.attempts) >= first}
        return [Trial(one, self._delta(), {"p": 1.0}, ("weak",) if one.entry.id in failing else ()) for one in changes]

    def given_back(self, changes: Iterable[ResolvedChange]) -> list[ResolvedChange]:
        return list(changes)

    def _delta(self) -> Any:
        """Another one in each attempt, as long as there is something to train."""
        return SimpleNamespace(id=f"attempt {0 if self.made else len(self.attempts)}")

    def together(self, batch: Batch, trials: Sequence[Trial], admitted: Sequence[Trial] = ()) -> JointTrial:
        ids = [trial.change.entry.id for trial in trials]
        self.joint.append(ids)
        if set(ids) & set(self.diverging):
            raise EditDiverged("not finite")
        failures = [self.harm] if set(ids) & set(self.harmful) or len(self.joint) <= self.harmful_at_first else []
        return JointTrial(trials, [{} for _ in ids], [[] for _ in ids], {"kept": 1.0}, failures)

    def passes(self, trial: Trial) -> bool:
        return TrialRunner.passes(cast(Any, self), trial)

    def tell(self, what: str, done: int, total: int) -> None:
        pass
