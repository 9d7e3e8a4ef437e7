"""Review change by change: what is received waits, what is accepted is decided, what is refused can come again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kgedit.errors import JournalError, UnknownEdit
from kgedit.ingest.plan.plan import Verdict
from kgedit.ingest.review import accept, receive, refuse
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.store import open_store

# Two changes of one fact by two feeds would be a conflict; these are of two facts, and one record is no change.
FEED = """
{"subject": "Q937", "relation": "P27", "target_new": "Q142"}
{"subject": "Q937", "relation": "P19", "target_new": "Q90"}
{"subject": "nobody at all", "relation": "P27", "target_new": "Q142"}
"""
FEW: dict[str, dict[str, Any]] = {"guards": {"facts": 4}, "ingest": {"facts": 8}}


def states(store: Path) -> list[str]:
    with open_store(store) as opened:
        return [str(entry.state) for entry in opened.entries()]


def test_changes_wait_until_each_is_accepted_or_refused(tmp_path: Path) -> None:
    feed, store = tmp_path / "feed.jsonl", tmp_path / "store"
    feed.write_text(FEED.lstrip(), encoding="utf-8")
    plan = receive(store, feed, method="rome", moments="identity")
    assert plan.counts[Verdict.NEW] == 2
    assert states(store) == ["received", "received"]
    # Refused by hand, with the reason in the journal; a second time there is nothing to refuse.
    refuse(store, [2], "not\n true")
    with open_store(store) as opened:
        assert (opened.journal.entry(2).state, opened.journal.entry(2).reason) == (State.REFUSED, "not true")
    with pytest.raises(JournalError, match="does not wait"):
        refuse(store, [1, 2], "again")
    assert states(store) == ["received", "refused"], "all or none"
    # Accepted, here with a warning at most; what was refused is received anew under a new number.
    (decided,) = accept(store, [2], method="rome", guard="warn", moments="identity", settings=FEW)
    assert (decided.id, decided.state, decided.edit.target_new) == (3, State.CHECKED, "Q90")
    assert states(store) == ["received", "refused", "checked"]
    with pytest.raises(JournalError, match="only what waits"):
        accept(store, [2, 3], method="rome", moments="identity", settings=FEW)
    assert states(store) == ["received", "refused", "checked"], "all or none"
    with pytest.raises(UnknownEdit):
        refuse(store, [9], "")
