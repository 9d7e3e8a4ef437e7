"""A plan against the journal: evidence that comes out of order, over several runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.ingest.change import Change, Provenance
from kgedit.ingest.intake import applied_change, state_before, take_in
from kgedit.ingest.plan.plan import Plan
from kgedit.ingest.plan.planner import make_plan
from kgedit.ingest.plan.policy import Policy
from kgedit.ingest.store.entry import Move, State
from kgedit.ingest.store.journal import Journal

FRANCE, ITALY, SPAIN = "Q142", "Q38", "Q29"


class Runs:
    """Runs over feeds of one record or several, whose new changes are all accepted."""

    def __init__(self, editor: Editor, path: Path) -> None:
        self.editor, self.journal, self.count = editor, Journal(path), 0

    def run(self, *records: tuple[str, int | None], policy: Policy = "refuse") -> list[str]:
        self.count += 1
        feed = [self._change(target, day, number) for number, (target, day) in enumerate(records, 1)]
        journal = self.journal
        plan = make_plan(
            feed, self.editor, policy=policy, seen=lambda planned: state_before(journal, planned),
            in_force=lambda slot: applied_change(journal, slot),
        )  # fmt: skip
        take_in(journal, plan, f"{self.count:064d}", {str(verdict): count for verdict, count in plan.counts.items()})
        for entry in list(journal.entries(State.RECEIVED)):
            before = journal.of_slot(entry.slot)
            journal.move([Move(entry=before.id, state=State.SUPERSEDED)] if before else [])
            for state in (State.PREPARED, State.APPLIED, State.CHECKED):
                journal.move([Move(entry=entry.id, state=state)])
        return self._verdicts(plan)

    def undo(self) -> None:
        (entry,) = self.journal.in_force()
        self.journal.move([Move(entry=entry.id, state=State.UNDONE)])

    @property
    def in_force(self) -> list[str]:
        return [entry.edit.target_new for entry in self.journal.in_force()]

    def _verdicts(self, plan: Plan) -> list[str]:
        self.reasons = [item.reason for item in plan]
        return [item.verdict.value for item in plan]

    def _change(self, target: str, day: int | None, number: int) -> Change:
        dated = None if day is None else datetime(2026, 1, day, tzinfo=UTC)
        told = Provenance(
            feed=f"{self.count}.jsonl", position=f"line {number}", seen=datetime(2026, 11, 1, tzinfo=UTC), dated=dated
        )
        return Change(edit=Edit(subject="Q937", relation="P27", target_new=target), provenance=told)


@pytest.fixture
def runs(mini: Editor, tmp_path: Path) -> Runs:
    return Runs(mini, tmp_path / "journal.sqlite")


@pytest.mark.parametrize("policy", ["refuse", "newest-evidence"])
def test_older_evidence_that_comes_later_changes_nothing(runs: Runs, policy: Policy) -> None:
    assert runs.run((FRANCE, 2), policy=policy) == ["new"]
    for day in (1, 2, None):  # older, of the same date, without one
        assert runs.run((ITALY, day), policy=policy) == ["conflict"]
    assert "change 1, which is in force, gives the same fact another object" in runs.reasons[0]
    assert runs.run((SPAIN, 3), policy=policy) == ["new"]
    assert runs.run((ITALY, 2), policy=policy) == ["conflict"], "also against the second"
    assert runs.in_force == [SPAIN]


def test_the_last_one_wins_where_that_is_asked_for(runs: Runs) -> None:
    runs.run((FRANCE, 2))
    assert runs.run((ITALY, 1), policy="last-wins") == ["new"]
    assert runs.in_force == [ITALY]


def test_a_change_that_was_undone_stands_in_nobodys_way(runs: Runs) -> None:
    runs.run((FRANCE, 2))
    runs.undo()
    assert runs.run((ITALY, 1)) == ["new"]


def test_without_dates_the_order_of_the_runs_decides_unless_evidence_is_asked_for(runs: Runs) -> None:
    runs.run((FRANCE, None))
    assert runs.run((ITALY, None)) == ["new"]
    assert runs.run((SPAIN, None), policy="newest-evidence") == ["conflict"]
    assert runs.run((SPAIN, 1), policy="newest-evidence") == ["new"]


def test_a_change_that_comes_again_with_newer_evidence_is_as_new_as_that(runs: Runs) -> None:
    runs.run((FRANCE, 2))
    assert runs.run((FRANCE, 5)) == ["duplicate"]
    assert runs.run((ITALY, 3)) == ["conflict"]
    steps = runs.journal.steps(1)
    assert steps[-1].reason == "the same change again, dated 2026-01-05T00:00:00+00:00: 2.jsonl, line 1"
    assert runs.in_force == [FRANCE]


def test_of_one_file_the_newest_record_of_a_change_counts_too(runs: Runs) -> None:
    assert runs.run((FRANCE, 1), (FRANCE, 5)) == ["new", "duplicate"]
    entry = runs.journal.entry(1)
    assert entry.change.provenance is not None
    assert (entry.change.provenance.position, entry.change.dated) == ("line 1", datetime(2026, 1, 5, tzinfo=UTC))
    assert runs.run((ITALY, 3)) == ["conflict"]


def test_labels_and_notes_of_the_plan_are_kept_with_the_change(runs: Runs) -> None:
    runs.run((FRANCE, 1))
    change = runs.journal.entry(1).change
    assert change.words == ("Albert Einstein (Q937)", "country of citizenship (P27)", "France (Q142)")
    assert change.notes == ()


def test_a_change_returns_with_newer_evidence(runs: Runs) -> None:
    runs.run((FRANCE, 1))
    runs.run((ITALY, 2))
    assert runs.run((FRANCE, 1)) == ["conflict"]
    assert runs.run((FRANCE, 3)) == ["new"]
    assert runs.in_force == [FRANCE]
