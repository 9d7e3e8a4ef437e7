"""`kgedit journal list` and `show`: labels beside ids, and where a change comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kgedit.edit import Edit
from kgedit.ingest.change import Provenance
from kgedit.ingest.store.entry import PlannedEdit, Received
from kgedit.ingest.store.store import open_store

Run = Callable[..., Any]
LABELS = {"Q937": "Albert Einstein", "P27": "country of citizenship", "Q142": "France"}


@pytest.fixture
def store(tmp_path: Path) -> str:
    """One change as a plan of this version has it, and one without labels, dates and evidence."""
    told = Provenance(
        feed="a.jsonl", position="line 3", seen=datetime(2026, 11, 1, tzinfo=UTC),
        dated=datetime(2026, 1, 5, tzinfo=UTC), evidence="https://example.org/1",
    )  # fmt: skip
    edit = Edit(subject="Q937", relation="P27", target_new="Q142")
    full = PlannedEdit(edit=edit, provenance=told, number=3, labels=LABELS, notes=("'France' is taken for Q142",))
    bare = PlannedEdit(edit=Edit(subject="Q42", relation="P27", target_new="Q142"))
    with open_store(tmp_path / "store", write=True) as opened:
        opened.journal.receive([Received(key="a", slot="a", change=full), Received(key="b", slot="b", change=bare)])
    return str(tmp_path / "store")


def test_the_list_has_labels_dates_and_evidence(store: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    first, second = run("journal", "list", "--store", store, "--json")["changes"]
    assert (first["subject"], first["labels"], first["dated"]) == ("Q937", LABELS, "2026-01-05")
    assert (first["evidence"], first["where"]) == ("https://example.org/1", "a.jsonl, line 3")
    assert (second["labels"], second["dated"], second["evidence"]) == ({}, "", "")
    shown = run("journal", "list", "--store", store)
    for words in (
        "Albert Einstein (Q937) | country of citizenship (P27) | France (Q142)", "2026-01-05", "https://example.org/1",
        "Q42 | P27 | Q142",
    ):  # fmt: skip
        assert words in shown
    assert "why" not in shown, "no change has a reason"


def test_one_change_is_shown_with_where_it_comes_from_and_what_was_taken_for_what(
    store: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("journal", "show", "1", "--store", store)
    for line in (
        "change 1: Albert Einstein (Q937) | country of citizenship (P27) | France (Q142): received",
        "a.jsonl, line 3", "dated 2026-01-05", "evidence https://example.org/1", "'France' is taken for Q142",
    ):  # fmt: skip
        assert line in shown
