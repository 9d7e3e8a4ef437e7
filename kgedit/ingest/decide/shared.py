"""Decides a batch whose changes share one delta: all of it is accepted, or it is retrained without what failed."""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.errors import EditError
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.decide.trial import Batch, Trial, TrialRunner
from kgedit.ingest.decide.writer import MORE_ROUNDS
from kgedit.ingest.store.decision import Accepted, Decision, Refusal


def decide_shared(batch: Batch, runner: TrialRunner) -> Decision:
    """Decide a batch as a whole.

    If a change fails its own guards, training goes on for all; what fails then is refused, and the others are trained
    without it. The shared delta is accepted if the model as a whole passes the guards; else training goes on for
    `MORE_ROUNDS` at most, in which what stays weighs more and more, and then all is refused.
    """
    accepted: list[Accepted] = []
    refused: list[Refusal] = []
    below, entries = batch.staying(batch.changes)
    earlier = [runner.changes.applied(entry) for entry in entries]
    back: list[ResolvedChange] = []  # facts of changes that were refused after they were trained

    def without_failing(trials: list[Trial]) -> list[Trial]:
        # What is refused must not stay in a delta that others share: from now on its fact is trained back.
        while runner.mode == "refuse" and _any_fails(trials):
            refused.extend(trial.refusal() for trial in trials if trial.failures)
            back.extend(runner.given_back(trial.change for trial in trials if trial.failures))
            good = [trial.change for trial in trials if not trial.failures]
            trials = runner.attempt(good, earlier, below, again=True, back=back)
        return trials

    try:
        # 1. Train on all; if a change fails, go on; if it still fails, train again without it.
        trials = runner.attempt(batch.changes, earlier, below)
        if _any_fails(trials):
            trials = without_failing(runner.attempt(batch.changes, earlier, below, again=True))
        # 2. One delta for all that passed, against the guards of the model as a whole.
        for further in range(MORE_ROUNDS + 1):
            refused += [trial.refusal() for trial in trials if not runner.passes(trial)]
            passed = [trial for trial in trials if runner.passes(trial)]
            if not passed:
                break
            runner.tell("checking the batch", 0, len(passed))
            joint = runner.together(batch, passed)
            warned = runner.mode == "warn" and joint.finite
            if warned or joint.good:
                accepted += joint.accepted(warned=warned)
                break
            if further < MORE_ROUNDS:
                changes = [trial.change for trial in passed]
                trials = runner.attempt(changes, earlier, below, again=True, keeping=joint.costly, back=back)
            # Measured once more, the same delta would fail again.
            if further == MORE_ROUNDS or trials[0].delta.id == passed[0].delta.id:
                refused += joint.refused("another change of its batch failed")
                break
            trials = without_failing(trials)
    except EditError as error:
        refused += [Refusal(change.entry, str(error)) for change in _undecided(batch.changes, refused)]
    return Decision(tuple(accepted), tuple(refused))


def _any_fails(trials: Sequence[Trial]) -> bool:
    return any(trial.failures for trial in trials)


def _undecided(changes: Sequence[ResolvedChange], refused: Sequence[Refusal]) -> list[ResolvedChange]:
    decided = {refusal.entry.id for refusal in refused}
    return [change for change in changes if change.entry.id not in decided]
