"""`plan` says what a feed asks for, in a table or as JSON, and refuses in one line what cannot be planned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from kgedit.cli import ingest_plan
from kgedit.cli.output import error_line
from kgedit.ingest.plan.plan import Plan

RECORDS = [
    '{"subject": "Albert Einstein", "relation": "P20", "target_new": "Princeton"}',
    '{"subject": "Albert Einstein", "relation": "P27", "target_new": "France"}',
    '{"subject": "Albert Einstein", "relation": "P26", "target_new": "Paris"}',
    '{"subject": "Albert Einstein", "note": "x"',
]


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "changes.jsonl"
    path.write_text("\n".join(RECORDS) + "\n", encoding="utf-8")
    return path


def run(*words: object) -> Any:
    app = typer.Typer()
    app.command()(ingest_plan.plan)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_plan_is_printed_saved_and_changes_nothing(feed: Path, tmp_path: Path) -> None:
    ended = run(feed, "--json", "--out", tmp_path / "plan.jsonl")
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    counts = {name: number for name, number in found["counts"].items() if number}
    assert counts == {"new": 1, "known": 1, "implausible": 1, "malformed": 1}
    assert (found["records"], found["model"], found["policy"]) == (4, "mini", "refuse")
    listed = [(item["verdict"], item["where"]) for item in found["listed"]]
    assert listed == [
        ("implausible", "changes.jsonl, line 3"), ("malformed", "changes.jsonl, line 4"),
        ("new", "changes.jsonl, line 2"),
    ]  # fmt: skip
    assert [item.verdict.value for item in Plan.load(tmp_path / "plan.jsonl")] == [
        "known", "new", "implausible", "malformed",
    ]  # fmt: skip
    assert feed.read_text(encoding="utf-8").splitlines() == RECORDS
    Plan.check_free(tmp_path / "plan.jsonl")  # an earlier plan is replaced


def test_a_reader_gets_tables(feed: Path) -> None:
    ended = run(feed, "--show", 1, "--any-kind")
    assert ended.exit_code == 0, ended.output
    text = " ".join(ended.stdout.split())
    assert "4 records for mini" in text
    assert "new 2" in text
    assert "malformed" in text
    assert "2 more of these are not listed; --show 4 lists all." in text


def test_what_is_not_listed_is_counted(feed: Path) -> None:
    text = " ".join(run(feed, "--show", "3").stdout.split())
    assert "more of these" not in text
    assert "1 known or duplicate records are never listed" in text


def test_columns_are_named_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "people.tsv"
    path.write_text("who\trelation\twhere\nAlbert Einstein\tP20\tPrinceton\n", encoding="utf-8")
    ended = run(path, "--map", "who=subject", "--map", "where=target_new", "--json")
    assert json.loads(ended.stdout)["counts"]["known"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["absent.jsonl"], "check the path"),
        (["changes.txt"], "cannot be told"),
        (["changes.jsonl", "--format", "xml"], "'xml'"),
        (["changes.csv"], "--map"),
        (["changes.jsonl", "--map", "who"], "'who' is not column=field"),
        (["changes.jsonl", "--map", "who=person"], "'person' is no field"),
        (["stream", "--format", "stream"], "never ends"),
        (["stream", "--format", "stream", "--since", "soon"], "cannot start at 'soon'"),
        (["new.nt", "--format", "difference"], "--before"),
        (["Q42", "--format", "wikidata", "--property", "country"], "no property id"),
        (["changes.jsonl", "--out", "changes.jsonl/plan"], "cannot be written"),
        (["changes.jsonl", "--out", "changes.jsonl"], "no earlier output of this command"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    feed: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(feed.parent)
    (feed.parent / "changes.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    ended = run(*words)
    assert ended.exit_code != 0
    # `main` shows the line of an error; a test through its own app sees the error itself, or typer's words for it.
    shown = (error_line(ended.exception) if isinstance(ended.exception, Exception) else None) or ended.output
    assert told in " ".join(shown.replace("│", " ").split())
