"""`kgedit graph`: what it prints is what the store holds, and a fetch talks to a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kgedit.cli import main
from servers import SparqlServer, wikidata_rdf

TRIPLES = [("Q937", "P27", "Q39"), ("Q39", "P36", "Q70"), ("Q70", "P17", "Q39")]
LABELS = {
    "Q937": "Albert Einstein",
    "Q39": "Switzerland",
    "Q70": "Bern",
    "P27": "citizen of",
    "P36": "capital",
}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    written = capsys.readouterr()
    assert ended.value.code == 0, written.err
    return written.out


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(run(capsys, *words, "--json"))


def facts(shown: Any) -> set[tuple[str, str, str]]:
    return {(f["subject"]["id"], f["relation"]["id"], f["object"]["id"]) for f in shown["facts"]}


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A store made by `graph import`."""
    file = tmp_path / "facts.tsv"
    rows = ["\t".join(row) for row in (*TRIPLES, *LABELS.items(), ("Q937", "Albert Einstein", "Einstein"))]
    file.write_text("\n".join(rows), encoding="utf-8")
    path = str(tmp_path / "facts.sqlite")
    found = run_json(capsys, "graph", "import", str(file), "--store", path)
    assert (found["triples"], found["malformed"], found["store"]) == (3, 0, path)
    return path


def test_imported_facts_are_shown_by_name_alias_and_id(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Albert Einstein", "Einstein", "Q937"):
        shown = run_json(capsys, "graph", "show", name, "--store", store)
        assert (shown["id"], shown["aliases"], shown["partial"]) == ("Q937", ["Einstein"], False)
        assert facts(shown) == {("Q937", "P27", "Q39")}
        assert shown["facts"][0]["relation"]["label"] == "citizen of"
        assert "incoming" not in shown


def test_incoming_facts_are_shown_when_asked_for(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(capsys, "graph", "show", "Q39", "--incoming", "--store", store)
    assert facts(shown["incoming"]) == {("Q937", "P27", "Q39"), ("Q70", "P17", "Q39")}


def test_facts_left_out_by_the_limit_are_reported(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(capsys, "graph", "show", "Q39", "--incoming", "--limit", "1", "--store", store)
    assert (shown["partial"], shown["incoming"]["partial"]) == (False, True)
    assert "left out" in run(capsys, "graph", "show", "Q39", "--incoming", "--limit", "1", "--store", store)


def test_brackets_in_a_label_are_shown_and_not_taken_for_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "facts.tsv"
    file.write_text("Q1\tP1\tQ2\nQ1\tsong [bold]live[/bold]\nQ2\t[/]", encoding="utf-8")
    run(capsys, "graph", "import", str(file), "--store", str(tmp_path / "s.sqlite"))
    shown = run(capsys, "graph", "show", "Q1", "--store", str(tmp_path / "s.sqlite"))
    assert "song [bold]live[/bold]" in shown
    assert "[/]" in shown


def test_stats_count_and_name_the_sources(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "graph", "stats", "--store", store)
    assert (found["triples"], found["entities"], found["path"]) == (3, 3, store)
    assert list(found["sources"]) == ["file facts.tsv"]


def test_the_bundled_snapshot_answers_without_any_argument(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_json(capsys, "graph", "show", "Albert Einstein")
    assert ("Q937", "P19", "Q3012") in facts(shown)
    assert run_json(capsys, "graph", "stats")["triples"] >= 60_000


def test_an_import_that_fails_leaves_no_store_and_no_other_file_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, kept = tmp_path / "bad.tsv", tmp_path / "new.sqlite.backup"
    file.write_text("not a fact\n")
    kept.write_text("kept")
    with pytest.raises(SystemExit) as ended:
        main(["graph", "import", str(file), "--store", str(tmp_path / "new.sqlite")])
    assert ended.value.code == 2
    assert "line 1" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [file, kept]


def test_fetch_follows_as_many_hops_as_asked_and_the_store_then_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "fetched.sqlite")
    with SparqlServer(wikidata_rdf(TRIPLES, LABELS)) as server:
        found = run_json(
            capsys, "graph", "fetch", "Q937", "--hops", "2", "--store", path, "--endpoint", server.url
        )
    assert (found["items"], found["triples"], found["partial"]) == (2, 2, {})
    shown = run_json(capsys, "graph", "show", "Q39", "--store", path)
    assert facts(shown) == {("Q39", "P36", "Q70")}
    assert run_json(capsys, "graph", "stats", "--store", path)["fetched"] == 2


def test_fetch_says_what_was_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = [("Q1", "P1", f"Q{number}") for number in range(10, 30)]
    path = str(tmp_path / "hub.sqlite")
    with SparqlServer(wikidata_rdf(hub)) as server:
        words = ["graph", "fetch", "Q1", "--limit", "5", "--store", path, "--endpoint", server.url]
        found = run_json(capsys, *words)
        assert "more claims" in run(capsys, *words)
    assert found["partial"] == {"Q1": 15}
    assert run_json(capsys, "graph", "show", "Q1", "--store", path)["partial"] is True
