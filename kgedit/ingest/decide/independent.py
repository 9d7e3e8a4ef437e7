"""Decides a batch whose changes have a delta each: what harms the model is found by halving the batch."""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.delta import Delta
from kgedit.errors import EditError
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.decide.trial import Batch, Trial, TrialRunner
from kgedit.ingest.store.decision import Accepted, Decision, Refusal


def decide_independent(batch: Batch, runner: TrialRunner) -> Decision:
    """Decide each change of a batch.

    Every change must pass its own guards, in a second attempt if not in the first. Those that do are applied
    together; if the model as a whole then fails a guard, each half is tried by itself, down to single changes.
    """
    # 1. What stays applied when the batch supersedes what it does.
    below, entries = batch.staying(batch.changes)
    earlier = [runner.changes.applied(entry) for entry in entries]
    # 2. Each change against its own guards.
    try:
        trials = _attempt_twice(batch.changes, earlier, below, runner)
    except EditError as error:
        return Decision(refused=tuple(Refusal(change.entry, str(error)) for change in batch.changes))
    passed = [trial for trial in trials if runner.passes(trial)]
    refused = [trial.refusal() for trial in trials if not runner.passes(trial)]
    # 3. What passed against the guards of the model as a whole.
    admitted = _admit(batch, passed, runner)
    return Decision(admitted.accepted, (*refused, *admitted.refused))


def _attempt_twice(
    changes: Sequence[ResolvedChange],
    earlier: Sequence[ResolvedChange],
    below: Sequence[Delta],
    runner: TrialRunner,
) -> list[Trial]:
    first = runner.attempt(changes, earlier, below)
    good = [trial for trial in first if not trial.failures]
    bad = [trial.change for trial in first if trial.failures]
    # The second attempt is computed on top of what succeeded in the first.
    beside = [*earlier, *(trial.change for trial in good)]
    return good + runner.attempt(bad, beside, [*below, *(trial.delta for trial in good)], again=True)


def _admit(batch: Batch, passed: Sequence[Trial], runner: TrialRunner) -> Decision:
    accepted: list[Accepted] = []
    refused: list[Refusal] = []
    admitted: list[Trial] = []
    groups = [list(passed)] if passed else []  # a stack: the left half of a group comes before its right half
    try:
        while groups:
            group = groups[-1]
            runner.tell("checking the batch", len(admitted), len(admitted) + len(group))
            joint = runner.together(batch, group, admitted)
            groups.pop()
            warned = runner.mode == "warn" and joint.finite
            # Good together: all stay, and what comes after is tried on top of them. A harmful one alone is refused;
            # a harmful group is halved.
            if warned or joint.good:
                accepted += joint.accepted(warned=warned)
                admitted += group
            elif len(group) == 1:
                refused += joint.refused()
            else:
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]
    except EditError as error:  # the deltas do not add up to a usable model
        refused += [Refusal(trial.change.entry, str(error)) for group in reversed(groups) for trial in group]
    return Decision(tuple(accepted), tuple(refused))
