"""Two graphs side by side, small enough to see by eye what changed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

import kg_cache.store
from kg_cache.graph import Triple
from kg_cache.store import Store
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds.base import FeedOptions, open_feed
from kgedit.ingest.feeds.difference import DifferenceFeed
from servers import wikidata_rdf

BEFORE = [("Q9", "P6", "Q1"), ("Q10", "P6", "Q2"), ("Q10", "P106", "Q3"), ("Q10", "P31", "Q4"), ("Q11", "P6", "Q5")]
AFTER = [
    ("Q9", "P6", "Q7"), ("Q10", "P6", "Q2"), ("Q10", "P106", "Q3"), ("Q10", "P106", "Q8"), ("Q10", "P31", "Q6"),
    ("Q12", "P6", "Q5"),
]  # fmt: skip
CHANGES = [("Q9", "P6", "Q7", "Q1"), ("Q10", "P106", "Q8", None), ("Q12", "P6", "Q5", None)]


def store(path: Path, triples: list[tuple[str, str, str]]) -> Path:
    with Store(path) as made:
        made.add(Triple(*triple) for triple in triples)
    return path


def triples_file(path: Path, triples: list[tuple[str, str, str]], extra: str = "") -> Path:
    path.write_text(wikidata_rdf(triples, {"Q9": "nine"}, extra=extra), encoding="utf-8")
    return path


def found(feed: object) -> list[tuple[str, str | None, str, str | None]]:
    return [
        (item.edit.subject, item.edit.relation, item.edit.target_new, item.edit.target_true)
        for item in feed  # type: ignore[attr-defined]
        if isinstance(item, Change)
    ]


@pytest.mark.parametrize("page", [2, 10_000])
def test_each_new_object_is_a_change_and_the_old_one_is_named_where_one_went(
    tmp_path: Path, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kg_cache.store, "_PAGE", page)
    feed = DifferenceFeed(
        store(tmp_path / "old.sqlite", BEFORE), store(tmp_path / "new.sqlite", AFTER), {"P6": True, "P106": False}
    )
    assert found(feed) == CHANGES
    assert dict(feed.skipped) == {"another property": 1, "a value taken away, none put in its place": 1}
    first = next(iter(feed))
    assert isinstance(first, Change)
    assert first.provenance.where == "old.sqlite to new.sqlite, Q9 P6"


def test_a_store_and_a_file_can_be_compared(tmp_path: Path) -> None:
    before = store(tmp_path / "old.sqlite", BEFORE)
    after = triples_file(tmp_path / "new.nt", AFTER)
    feed = open_feed(str(after), "difference", FeedOptions(before=before, properties=["P6", "P106"]))
    assert found(feed) == CHANGES


def test_equal_graphs_have_no_difference(tmp_path: Path) -> None:
    graphs = [triples_file(tmp_path / name, AFTER) for name in ("a.nt", "b.nt")]
    assert list(DifferenceFeed(*graphs, {"P6": True})) == []


def test_malformed_lines_are_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    broken = "\n".join(["<nonsense>"] * 7)
    before, after = triples_file(tmp_path / "old.nt", BEFORE), triples_file(tmp_path / "new.nt", AFTER, broken)
    feed = DifferenceFeed(before, after, {"P6": True, "P106": False})
    items = list(feed)
    assert [(i.feed, i.position) for i in items if isinstance(i, MalformedChange)][0] == ("new.nt", "line 8")
    assert (
        sum(isinstance(item, MalformedChange) for item in items) + feed.skipped["further malformed lines of new.nt"]
        == 7
    )
    assert [item.edit.subject for item in items if isinstance(item, Change)] == ["Q9", "Q10", "Q12"]


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    good = triples_file(tmp_path / "good.nt", AFTER)
    (tmp_path / "empty.nt").write_text("")
    (tmp_path / "text.sqlite").write_text("no store")
    for name in ("empty.nt", "text.sqlite", "absent.nt"):
        with pytest.raises(FeedError, match=name):
            list(DifferenceFeed(good, tmp_path / name, {"P6": True}))
    with pytest.raises(FeedError, match="--before"):
        open_feed(str(good), "difference")


def test_memory_does_not_grow_with_the_graphs(tmp_path: Path) -> None:
    old = store(tmp_path / "old.sqlite", [(f"Q{n}", "P6", "Q1") for n in range(1, 20_001)])
    new = store(tmp_path / "new.sqlite", [(f"Q{n}", "P6", "Q1" if n % 2 else "Q2") for n in range(1, 20_001)])
    feed = DifferenceFeed(old, new, {"P6": True})
    tracemalloc.start()
    changes = sum(1 for _ in feed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert changes == 10_000
    assert peak < 12_000_000  # two pages of 10,000 triples
