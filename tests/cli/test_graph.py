"""`kgedit graph`: what it prints is what the store holds, and a fetch talks to a real server."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.cli import main
from servers import SparqlServer, wikidata_rdf

Run = Callable[..., Any]

TRIPLES = [("Q937", "P27", "Q39"), ("Q39", "P36", "Q70"), ("Q70", "P17", "Q39")]
LABELS = {
    "Q937": "Albert Einstein",
    "Q39": "Switzerland",
    "Q70": "Bern",
    "P27": "citizen of",
    "P36": "capital",
}


def facts(shown: Any) -> set[tuple[str, str, str]]:
    return {(f["subject"]["id"], f["relation"]["id"], f["object"]["id"]) for f in shown["facts"]}


@pytest.fixture
def store(tmp_path: Path, run: Run) -> str:
    """A store made by `graph import`."""
    file = tmp_path / "facts.tsv"
    rows = ["\t".join(row) for row in (*TRIPLES, *LABELS.items(), ("Q937", "Albert Einstein", "Einstein"))]
    file.write_text("\n".join(rows), encoding="utf-8")
    path = str(tmp_path / "facts.sqlite")
    found = run("graph", "import", str(file), "--graph", path, "--json")
    assert (found["triples"], found["malformed"], found["graph"]) == (3, 0, path)
    return path


def test_imported_facts_are_shown_by_name_alias_and_id(store: str, run: Run) -> None:
    for name in ("Albert Einstein", "Einstein", "Q937"):
        shown = run("graph", "show", name, "--graph", store, "--json")
        assert (shown["id"], shown["aliases"], shown["partial"]) == ("Q937", ["Einstein"], False)
        assert facts(shown) == {("Q937", "P27", "Q39")}
        assert shown["facts"][0]["relation"]["label"] == "citizen of"
        assert "incoming" not in shown


def test_incoming_facts_are_shown_when_asked_for(store: str, run: Run) -> None:
    shown = run("graph", "show", "Q39", "--incoming", "--graph", store, "--json")
    assert facts(shown["incoming"]) == {("Q937", "P27", "Q39"), ("Q70", "P17", "Q39")}


def test_facts_left_out_by_the_limit_are_reported(store: str, run: Run) -> None:
    shown = run("graph", "show", "Q39", "--incoming", "--limit", "1", "--graph", store, "--json")
    assert (shown["partial"], shown["incoming"]["partial"]) == (False, True)
    assert "left out" in run("graph", "show", "Q39", "--incoming", "--limit", "1", "--graph", store)


def test_brackets_in_a_label_are_shown_and_not_taken_for_markup(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "facts.tsv"
    file.write_text("Q1\tP1\tQ2\nQ1\tsong [bold]live[/bold]\nQ2\t[/]", encoding="utf-8")
    run("graph", "import", str(file), "--graph", str(tmp_path / "s.sqlite"))
    shown = run("graph", "show", "Q1", "--graph", str(tmp_path / "s.sqlite"))
    assert "song [bold]live[/bold]" in shown
    assert "[/]" in shown


def test_stats_count_and_name_the_sources(store: str, run: Run) -> None:
    found = run("graph", "stats", "--graph", store, "--json")
    assert (found["triples"], found["entities"], found["path"]) == (3, 3, store)
    assert list(found["sources"]) == ["file facts.tsv"]


def test_the_bundled_snapshot_answers_without_any_argument(run: Run) -> None:
    shown = run("graph", "show", "Albert Einstein", "--json")
    assert ("Q937", "P19", "Q3012") in facts(shown)
    assert run("graph", "stats", "--json")["triples"] >= 60_000


def test_an_import_that_fails_leaves_no_store_and_no_other_file_behind(tmp_path: Path, refused: Run) -> None:
    file, kept = tmp_path / "bad.tsv", tmp_path / "new.sqlite.backup"
    file.write_text("not a fact\n")
    kept.write_text("kept")
    assert "line 1" in refused("graph", "import", str(file), "--graph", str(tmp_path / "new.sqlite"))
    assert sorted(tmp_path.iterdir()) == [file, kept]


def test_an_import_takes_a_choice_and_shows_how_far_the_file_is(tmp_path: Path, capsys, run: Run, monkeypatch) -> None:
    monkeypatch.setattr("kgedit.cli.progress.FIRST_LINE", 0.0)
    file, path = tmp_path / "dump.nt.gz", str(tmp_path / "s.sqlite")
    file.write_bytes(gzip.compress((wikidata_rdf(TRIPLES, LABELS) * 500).encode(), compresslevel=0))
    ended = pytest.raises(SystemExit, main, ["graph", "import", str(file), "--graph", path, "--property", "P36"])
    assert ended.value.code == 0
    told = re.findall(r"Importing dump.nt.gz, kB: ([0-9]+) of ([0-9]+)", capsys.readouterr().err)
    assert 0 < int(told[0][0]) <= int(told[0][1])
    shown = run("graph", "stats", "--graph", path, "--json")
    assert (shown["triples"], shown["entities"], shown["relations"]) == (1, 2, 1)


def test_fetch_follows_as_many_hops_as_asked_and_the_store_then_shows_them(tmp_path: Path, run: Run) -> None:
    path = str(tmp_path / "fetched.sqlite")
    with SparqlServer(wikidata_rdf(TRIPLES, LABELS)) as server:
        found = run("graph", "fetch", "Q937", "--hops", "2", "--graph", path, "--endpoint", server.url, "--json")
    assert (found["items"], found["triples"], found["partial"]) == (2, 2, {})
    shown = run("graph", "show", "Q39", "--graph", path, "--json")
    assert facts(shown) == {("Q39", "P36", "Q70")}
    assert run("graph", "stats", "--graph", path, "--json")["fetched"] == 2


def test_fetch_says_what_was_cut(tmp_path: Path, run: Run) -> None:
    hub = [("Q1", "P1", f"Q{number}") for number in range(10, 30)]
    path = str(tmp_path / "hub.sqlite")
    with SparqlServer(wikidata_rdf(hub)) as server:
        words = ["graph", "fetch", "Q1", "--limit", "5", "--graph", path, "--endpoint", server.url]
        found = run(*words, "--json")
        assert "more claims" in run(*words)
    assert found["partial"] == {"Q1": 15}
    assert run("graph", "show", "Q1", "--graph", path, "--json")["partial"] is True


def test_rules_are_counted_and_what_follows_from_an_edit_is_told(tmp_path: Path, run: Run) -> None:
    """Three people are citizens of the country that they were born in, the fourth moves."""
    rows = ["Q10\tP17\tQ100", "Q11\tP17\tQ101", "Q100\tAtlantis", "Q101\tUtopia", "Q11\tAmaurot"]
    rows += [row for n in range(1, 5) for row in (f"Q{n}\tP19\tQ10", f"Q{n}\tP27\tQ100", f"Q{n}\tName {n}")]
    file, path = tmp_path / "facts.tsv", str(tmp_path / "facts.sqlite")
    file.write_text("\n".join(rows), encoding="utf-8")
    run("graph", "import", str(file), "--graph", path, "--json")
    (rule,) = run("graph", "rules", "--support", "4", "--graph", path, "--json")["rules"]
    assert rule == {"first": "P19", "second": "P17", "implied": "P27", "support": 4, "confidence": 1.0}
    assert run("graph", "rules", "--support", "5", "--graph", path, "--json")["rules"] == []
    edit = ("--subject", "Name 2", "--relation", "place of birth", "--target", "Amaurot", "--support", "4")
    (found,) = run("graph", "rules", *edit, "--graph", path, "--json")["follows"]
    assert found == {
        "subject": {"id": "Q2", "label": "Name 2"},
        "relation": {"id": "P27", "label": "country of citizenship"},
        "object": {"id": "Q101", "label": "Utopia"},
        "stated": "Atlantis",
        "rule": rule,
    }


def test_half_an_edit_has_no_consequences(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["graph", "rules", "--subject", "Q937"])
    assert "give all three, or none" in " ".join(capsys.readouterr().err.split())
