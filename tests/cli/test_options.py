"""`--graph` is a file of facts and `--store` a folder with a journal, in every command that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from command_tree import commands
from kg_cache.store import Store
from kgedit.cli.options import graph_file, sqlite_kind, store_folder
from kgedit.ingest.store.journal import Journal

Run = Callable[..., str]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph file."""
    path = tmp_path / "facts.sqlite"
    Store(path).close()
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A folder with a journal."""
    folder = tmp_path / "changes"
    folder.mkdir()
    Journal(folder / "journal.sqlite").close()
    return folder


def test_the_headers_tell_graph_and_journal_apart(graph: Path, journal: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("SQLite format 3")
    assert sqlite_kind(graph) == "a knowledge graph"
    assert sqlite_kind(journal / "journal.sqlite") == "a journal"
    assert sqlite_kind(tmp_path / "notes") is None
    assert sqlite_kind(tmp_path / "absent") is None


def test_each_option_refuses_what_the_other_takes(graph: Path, journal: Path, refused: Run) -> None:
    for path in (journal, journal / "journal.sqlite"):
        told = refused("graph", "stats", "--graph", str(path))
        assert "--store" in told
        assert str(path) in told
        assert "journal" in told
    told = refused("journal", "list", "--store", str(graph))
    assert "--graph" in told
    assert str(graph) in told
    told = refused("journal", "list", "--store", str(journal / "journal.sqlite"))
    assert f"its folder, {journal}" in told


def test_a_folder_without_journal_is_no_graph_and_a_plain_file_no_store(tmp_path: Path, refused: Run) -> None:
    (tmp_path / "notes").write_text("nothing")
    assert "is a folder" in refused("graph", "stats", "--graph", str(tmp_path))
    assert "is a file" in refused("journal", "list", "--store", str(tmp_path / "notes"))


def test_no_command_gives_these_options_another_meaning() -> None:
    checks = {"--graph": graph_file, "--store": store_folder}
    seen = set()
    for words, command in commands():
        for parameter in command.params:
            for name in checks.keys() & set(parameter.opts):
                seen.add(name)
                assert checks[name].__doc__ == getattr(parameter.callback, "__doc__", None), (words, name)
    assert seen == checks.keys()


def test_every_whole_number_has_bounds_that_libraries_can_hold() -> None:
    unbounded = [
        (*words, parameter.name)
        for words, command in commands()
        for parameter in getattr(command, "params", ())
        if parameter.bare_type is int and not (parameter.max or 2**64) < 2**63
    ]
    assert unbounded == []


@pytest.mark.parametrize("number", ["9" * 30, "-" + "9" * 30, "4294967296"])
def test_numbers_beyond_the_bounds_are_one_line(number: str, refused: Run, tmp_path: Path) -> None:
    edit = ("edit", "--subject", "Q937", "--relation", "P27", "--target", "Q142", "--out", str(tmp_path / "out"))
    assert "--seed" in refused(*edit, "--seed", number)
    assert "layer" in refused(*edit, "--method", f"rome:layer={number}9")
    assert "steps" in refused(*edit, "--method", f"rome:steps={number}9")
    assert "--limit" in refused("journal", "list", "--store", str(tmp_path), "--limit", number)
    assert "'id'" in refused("journal", "show", number.lstrip("-"), "--store", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
