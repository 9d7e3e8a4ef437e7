"""Trials: proposed deltas applied in memory, alone with their batch or beside all applied changes, and measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kgedit.delta import Delta, DeltaStack
from kgedit.editor import Editor
from kgedit.ingest.decide.guard import Guard, Mode
from kgedit.ingest.decide.probes import Probes, measure, rounded
from kgedit.ingest.decide.resolved_change import ChangeResolver, ResolvedChange
from kgedit.ingest.decide.writer import Writer
from kgedit.ingest.store.decision import Accepted, Refusal
from kgedit.ingest.store.entry import Entry
from kgedit.progress import Progress

# Guards of the model as a whole that more weight on what stays may satisfy.
_COSTS = ("perplexity", "locality", "kept")


@dataclass(frozen=True)
class Batch:
    """What is to be decided together, and what is applied already.

    Attributes:
        changes: The changes to decide, of different facts.
        live: The live deltas in order, each with the changes that it makes.
    """

    changes: Sequence[ResolvedChange]
    live: Sequence[tuple[Delta, Sequence[Entry]]]

    def staying(self, changes: Iterable[ResolvedChange]) -> tuple[list[Delta], list[Entry]]:
        """The live deltas and the applied changes that remain when these changes supersede others."""
        gone = superseded(changes)
        # A change that was countered is there twice: in the delta that makes it, and in its counter-patch.
        staying = {entry.id: entry for _, entries in self.live for entry in entries if entry.id not in gone}
        return remaining(self.live, gone), list(staying.values())


@dataclass(frozen=True)
class Trial:
    """A change with a proposed delta, measured with the deltas of its batch applied.

    Attributes:
        change: The change.
        delta: Its delta.
        numbers: What was measured about it.
        failures: The guards of this change that it fails, in words.
    """

    change: ResolvedChange
    delta: Delta
    numbers: dict[str, float]
    failures: tuple[str, ...]

    def refusal(self) -> Refusal:
        """The refusal for the guards that it fails."""
        return Refusal(self.change.entry, "; ".join(self.failures), rounded(self.numbers))


@dataclass(frozen=True)
class JointTrial:
    """Several trials applied together, beside everything that is to remain applied.

    Attributes:
        trials: What was tried.
        own: What was measured about each change now.
        own_failures: The guards of its own that each change fails now.
        numbers: What was measured about the model as a whole.
        failures: The guards of the model as a whole that fail.
    """

    trials: Sequence[Trial]
    own: Sequence[dict[str, float]]
    own_failures: Sequence[Sequence[str]]
    numbers: dict[str, float]
    failures: Sequence[str]

    @property
    def good(self) -> bool:
        """Whether no guard fails."""
        return not self.failures and not any(self.own_failures)

    @property
    def costly(self) -> bool:
        """Whether the model as a whole has lost too much of what it said before."""
        return any(failure.split()[0] in _COSTS for failure in self.failures)

    @property
    def finite(self) -> bool:
        """Whether every number about the model as a whole is finite."""
        return finite(self.numbers)

    def accepted(self, *, warned: bool) -> list[Accepted]:
        """All of them accepted; `warned` keeps what the guards said as warnings."""
        return [
            Accepted(
                trial.change.entry,
                trial.delta,
                self._numbers(trial, own),
                (*trial.failures, *failures, *self.failures) if warned else (),
            )
            for trial, own, failures in zip(self.trials, self.own, self.own_failures, strict=True)
        ]

    def refused(self, otherwise: str = "") -> list[Refusal]:
        """All of them refused; `otherwise` is the reason of a change that no guard speaks against."""
        return [
            Refusal(trial.change.entry, "; ".join([*failures, *self.failures]) or otherwise, self._numbers(trial, own))
            for trial, own, failures in zip(self.trials, self.own, self.own_failures, strict=True)
        ]

    def _numbers(self, trial: Trial, own: Mapping[str, float]) -> dict[str, float]:
        return rounded({**trial.numbers, **own, **self.numbers})


class TrialRunner:
    """Computes deltas, applies them in memory and measures; afterwards the weights are as before.

    Attributes:
        mode: "warn" lets through what the guards would refuse, except what is not finite.
    """

    def __init__(
        self,
        editor: Editor,
        weights: DeltaStack,
        changes: ChangeResolver,
        guard: Guard,
        writer: Writer,
        *,
        mode: Mode = "refuse",
        progress: Progress | None = None,
    ) -> None:
        """Put the parts together; see `decider.Decider`."""
        self.editor, self.weights, self.changes, self.guard, self.writer = editor, weights, changes, guard, writer
        self.mode, self.progress = mode, progress
        # Ids of the deltas that were measured last, and what they do for each change, by its questions.
        self._last: tuple[tuple[str, ...], dict[Probes, dict[str, float]]] = (), {}

    def attempt(
        self,
        changes: Sequence[ResolvedChange],
        earlier: Sequence[ResolvedChange],
        below: Sequence[Delta],
        *,
        again: bool = False,
        keeping: bool = False,
        back: Sequence[ResolvedChange] = (),
    ) -> list[Trial]:
        """Compute a delta for each change with `below` applied, and measure each beside the others.

        Args:
            changes: The changes.
            earlier: The changes that `below` makes.
            below: The deltas to compute them on.
            again: Whether this is another attempt, with more steps.
            keeping: Whether what stays is to weigh more, in this attempt and later ones.
            back: What a shared delta made so far of refused changes and is to make no more; see `given_back`.
        """
        if not changes:
            return []
        self.tell("computing deltas once more" if again else "computing deltas", 0, len(changes))
        with self.weights.trial(below):
            if keeping:
                self.writer.keep_more()
            proposed = self.writer.propose(changes, earlier, more=again, back=back)
        deltas = [self.weights.on_base(delta) for delta in proposed]
        # Norms are relative to the unedited weights: the edited ones grow with every change.
        with self.weights.trial(()):
            norms = [max(delta.norms(self.editor.model).values(), default=0.0) for delta in deltas]
        measured = self._measured([*below, *unique(deltas)], changes)
        trials = []
        for change, delta, numbers, norm in zip(changes, deltas, measured, norms, strict=True):
            if not self.writer.shared:  # a shared delta's norm is no one change's
                numbers["norm"] = norm
            trials.append(Trial(change, delta, numbers, tuple(self.guard.failures(numbers))))
        self.writer.note_satisfied(trial.change.entry.id for trial in trials if not trial.failures)
        return trials

    def go_on_from(self, delta: Delta, changes: Sequence[ResolvedChange]) -> None:
        """Have the next shared delta trained further from one; what it makes already is found by asking it once."""
        self.tell("asking what the delta in force makes", 0, len(changes))
        measured = self._measured([delta], changes)
        good = [not self.guard.failures(numbers) for numbers in measured]
        self.writer.go_on_from(delta, [one.entry.id for one, passes in zip(changes, good, strict=True) if passes])

    def together(self, batch: Batch, trials: Sequence[Trial], admitted: Sequence[Trial] = ()) -> JointTrial:
        """Apply trials beside all that stays applied and what is admitted so far, and measure the whole model."""
        tried = [*admitted, *trials]
        below, entries = batch.staying(trial.change for trial in tried)
        earlier = [self.changes.applied(entry) for entry in entries] + [trial.change for trial in admitted]
        changed = {change.slot for change in (*earlier, *(trial.change for trial in trials))}
        applied = [*below, *unique(trial.delta for trial in tried)]
        with self.weights.trial(applied):
            numbers = self.guard.batch(self.editor.model, [change.question for change in earlier], changed)
            numbers["norm_cumulative"] = max(self.weights.norms().values(), default=0.0)
        # Measured beside everything: there a change may do less than beside its own batch.
        own = self._measured(applied, [trial.change for trial in trials])
        own_failures = [self.guard.failures(measured) for measured in own]
        return JointTrial(trials, own, own_failures, numbers, self.guard.failures(numbers))

    def given_back(self, changes: Iterable[ResolvedChange]) -> list[ResolvedChange]:
        """Changes back to what the unedited model says of the same facts, where it says something."""
        with self.weights.trial(()):
            found = map(self.changes.given_back, changes)
            return [change for change in found if change is not None]

    def _measured(self, deltas: Sequence[Delta], changes: Sequence[ResolvedChange]) -> list[dict[str, float]]:
        """What some deltas together do for each change; what was measured with the same ones is not asked again."""
        applied = tuple(delta.id for delta in deltas)
        if self._last[0] != applied:
            self._last = applied, {}
        found = self._last[1]
        missing = list(dict.fromkeys(change.probes for change in changes if change.probes not in found))
        if missing:
            with self.weights.trial(deltas):
                found |= zip(missing, measure(self.editor.model, self.editor.tokenizer, missing), strict=True)
        return [dict(found[change.probes]) for change in changes]

    def passes(self, trial: Trial) -> bool:
        """Whether a trial may go on to be tried with everything else."""
        return not trial.failures or (self.mode == "warn" and finite(trial.numbers))

    def tell(self, what: str, done: int, total: int) -> None:
        """Report progress."""
        if self.progress:
            self.progress(what, done, total)


def superseded(changes: Iterable[ResolvedChange]) -> set[int]:
    """Numbers of the applied changes that these supersede."""
    return {change.replaces.id for change in changes if change.replaces}


def remaining(live: Sequence[tuple[Delta, Sequence[Entry]]], gone: set[int]) -> list[Delta]:
    """The live deltas that still make a change when some changes are gone."""
    return [delta for delta, entries in live if any(entry.id not in gone for entry in entries)]


def unique(deltas: Iterable[Delta]) -> list[Delta]:
    """Each delta once, in order."""
    return list({delta.id: delta for delta in deltas}.values())


def finite(numbers: Mapping[str, float]) -> bool:
    """Whether every number is finite."""
    return all(math.isfinite(value) for value in numbers.values())
