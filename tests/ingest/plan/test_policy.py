"""A change of a second feed against the one that is in force: older evidence never wins unless the last does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kgedit.ingest.plan.policy import InForce, Policy, Rival, objection, winner


def day(number: int | None) -> datetime | None:
    return None if number is None else datetime(2026, 1, number, tzinfo=UTC)


@pytest.mark.parametrize("policy", ["refuse", "newest-evidence", "last-wins"])
@pytest.mark.parametrize("applied", [1, 2, None])
@pytest.mark.parametrize("arriving", [1, 2, None])
def test_what_is_in_force_gives_way_to_newer_evidence_alone(
    policy: Policy, arriving: int | None, applied: int | None
) -> None:
    supersedes = objection(day(arriving), InForce(7, day(applied)), policy) is None
    if policy == "last-wins":
        assert supersedes
    elif arriving is None and applied is None:
        assert supersedes == (policy == "refuse"), "without any date the order of the feeds decides"
    else:
        assert supersedes == ((arriving or 0) > (applied or 0))
    if policy == "newest-evidence":  # as among the records of one feed
        times = [date.timestamp() if date else None for date in (day(applied), day(arriving))]
        assert supersedes == (winner([Rival(1, 1, times[0]), Rival(2, 2, times[1])], policy)[0] == 2)


def test_dates_of_different_offsets_are_compared_as_instants() -> None:
    applied = datetime.fromisoformat("2026-01-02T00:30:00+02:00")
    assert objection(datetime.fromisoformat("2026-01-01T23:00:00+00:00"), InForce(1, applied), "refuse") is None
    why = objection(datetime.fromisoformat("2026-01-01T22:00:00+00:00"), InForce(1, applied), "refuse")
    assert why is not None
    assert "2026-01-02T00:30:00+02:00" in why
