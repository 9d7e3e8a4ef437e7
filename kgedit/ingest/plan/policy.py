"""Which of several changes of one fact counts: among the records of a feed, and against the one that is in force."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from kgedit.ingest.change import day

Policy = Literal["refuse", "last-wins", "newest-evidence"]

_UNDATED = float("-inf")


class Rival(NamedTuple):
    """An object that records of a feed give a fact.

    Attributes:
        first: Number of the first record that gives it.
        last: Number of the last one.
        dated: The newest date that speaks for it, as a time stamp.
    """

    first: int
    last: int
    dated: float | None


class InForce(NamedTuple):
    """The applied change of a fact.

    Attributes:
        number: Its number in the journal.
        dated: The newest date that speaks for it; None if there is none.
    """

    number: int
    dated: datetime | None


def winner(rivals: list[Rival], policy: Policy) -> tuple[int | None, str]:
    """The first record of the object that holds, if any, and why the others do not."""
    if policy == "last-wins":
        return max(rivals, key=lambda rival: rival.last).first, "the last one wins"
    if policy == "newest-evidence":
        dates = sorted((_UNDATED if rival.dated is None else rival.dated for rival in rivals), reverse=True)
        if dates[0] > dates[1]:
            return next(rival.first for rival in rivals if rival.dated == dates[0]), "its evidence is newer"
        return None, "none has newer evidence than the others"
    return None, "both are refused"


def objection(dated: datetime | None, in_force: InForce, policy: Policy) -> str | None:
    """Why a change may not supersede the one that is in force; None if it may.

    As among the records of one feed, except that an undated change may replace an undated one under "refuse": then
    the order of the feeds is all there is to go by.
    """
    if policy == "last-wins":
        return None
    if dated is not None and (in_force.dated is None or dated > in_force.dated):
        return None
    if dated is None and in_force.dated is None:
        return None if policy == "refuse" else "neither is dated"
    if dated is None:
        return f"this one is not dated, that is of {day(in_force.dated)}"
    if dated == in_force.dated:
        return f"both are of {day(dated)}"
    return f"its evidence is newer ({day(in_force.dated)} against {day(dated)})"
