"""The table of feeds: every built-in kind has its tests, and plugins add kinds."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from kgedit.errors import FeedError, PluginError
from kgedit.ingest import runner
from kgedit.ingest.feeds.base import FEEDS, FeedOptions, feed_kinds, open_feed

PLUGIN = """
from collections import Counter
from datetime import UTC, datetime
from kgedit.edit import Edit
from kgedit.ingest.change import Change, Provenance

class Capitals:
    def __init__(self, what, options):
        self.name, self.skipped, self.what, self.limit = "capitals", Counter(), what, options.limit

    def __iter__(self):
        seen = datetime(2026, 1, 1, tzinfo=UTC)
        edit = Edit(subject=self.what, relation="capital", target_new="Bonn")
        yield Change(edit=edit, provenance=Provenance(feed=self.name, position="1", seen=seen))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution that declares one feed on the path, as an installer would."""
    monkeypatch.syspath_prepend(tmp_path)

    def _install(kind: str, place: str) -> None:
        (tmp_path / "capitals_plugin.py").write_text(PLUGIN)
        folder = tmp_path / "kgedit_capitals-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: kgedit-capitals\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[kgedit.feeds]\n{kind} = {place}\n")

    return _install


def test_every_kind_of_feed_has_its_tests() -> None:
    files = {place.partition(":")[0].rpartition(".")[2] for place in FEEDS.values()}
    assert {name for name in files if not (Path(__file__).parent / f"test_{name}.py").is_file()} == set()


def test_every_built_in_kind_can_be_loaded() -> None:
    assert all(callable(place.load()) for kind, place in feed_kinds().items() if kind in FEEDS)


@pytest.mark.parametrize(
    "what",
    ["Q937,Q42", "wd:Q937, Q42", "https://www.wikidata.org/wiki/Q937", ",".join(f"Q{id}" for id in range(1, 2000))],
    ids=["two", "prefixed", "address", "longer than a file's name"],
)
def test_item_ids_in_any_spelling_are_a_feed_of_wikidata(what: str) -> None:
    assert open_feed(what).name == "wikidata"


def test_a_list_of_items_that_is_longer_than_a_name_is_run_over(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str | None] = []
    monkeypatch.setattr(runner, "open_session", lambda *_, **__: nullcontext())
    monkeypatch.setattr(runner, "apply_feed", lambda *_, fingerprint, **__: noted.append(fingerprint))
    runner.run("store", ",".join(["Q937"] * 2000))
    assert noted == [None]
    with pytest.raises(FeedError, match="a+.jsonl"):
        open_feed("a" * 300 + ".jsonl")


def test_a_plugin_adds_a_kind(install) -> None:
    install("capitals", "capitals_plugin:Capitals")
    feed = open_feed("Germany", "capitals", FeedOptions(limit=3))
    assert [change.edit.target_new for change in feed] == ["Bonn"]
    assert feed.limit == 3


def test_an_unknown_kind_names_those_there_are(install) -> None:
    install("capitals", "capitals_plugin:Capitals")
    with pytest.raises(FeedError, match="no feed of kind 'xml'.*jsonl, csv, .*capitals"):
        open_feed("changes.xml", "xml")
    with pytest.raises(FeedError, match="cannot be told from its ending.*capitals"):
        open_feed("changes.xml")


def test_a_plugin_that_cannot_be_loaded_stops_only_its_own_kind(install, tmp_path: Path) -> None:
    install("capitals", "capitals_plugin:Missing")
    with pytest.raises(PluginError, match="kgedit-capitals declares 'capitals'.*cannot be loaded"):
        open_feed("Germany", "capitals")
    (tmp_path / "changes.jsonl").write_text("")
    assert list(open_feed(str(tmp_path / "changes.jsonl"))) == []


def test_a_plugin_cannot_take_the_place_of_a_built_in_kind(install) -> None:
    install("csv", "capitals_plugin:Capitals")
    with pytest.raises(PluginError, match="kgedit-capitals declares 'csv'.*built-in"):
        open_feed("changes.csv")
