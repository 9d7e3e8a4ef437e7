"""Bad input at the command line: one line on stderr that names the value, exit code 2, nothing on stdout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, ValidationError

from kgedit.cli.output import error_line

Run = Callable[..., str]
_EDIT = ("edit", "--subject", "x", "--relation", "P27", "--target", "y", "--out", "absent")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nonsense"], "'nonsense'"),
        (["graph"], "Missing command"),
        (["graph", "show"], "Missing argument"),
        (["ask", "-k", "0", "x"], "-k"),
        (["ask", "--nonsense", "x"], "--nonsense"),
        (["edit", "--subject", "x"], "--target"),
        (["demo", "--edits", "many"], "--edits"),
    ],
)
def test_wrong_use_says_which_word_and_where_help_is(words: list[str], named: str, refused: Run) -> None:
    told = refused(*words)
    assert named in told
    assert "--help'" in told


def test_an_unknown_entity_is_named_with_similar_ones(refused: Run) -> None:
    told = refused("graph", "show", "Albert Einstien")
    assert "Albert Einstien" in told
    assert "Albert Einstein" in told


def test_an_ambiguous_label_lists_the_ids_that_it_may_mean(refused: Run, tmp_path: Path) -> None:
    from kg_cache.graph import Entity, Triple
    from kg_cache.store import Store

    path = tmp_path / "two.sqlite"
    with Store(path) as store:
        springfields = [Entity(id="Q1", label="Springfield"), Entity(id="Q2", label="Springfield")]
        store.add([Triple("Q1", "P17", "Q30")], springfields)
    told = refused("graph", "show", "Springfield", "--graph", str(path))
    assert "Q1" in told
    assert "Q2" in told


def test_a_file_that_is_no_store_is_named_and_left_alone(refused: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 200)
    assert str(path) in refused("graph", "stats", "--graph", str(path))
    assert path.read_text() == "no database " * 200
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_store_is_not_made(refused: Run, tmp_path: Path) -> None:
    path = tmp_path / "absent.sqlite"
    assert str(path) in refused("graph", "stats", "--graph", str(path))
    assert list(tmp_path.iterdir()) == []


def test_the_process_itself_ends_with_code_2_and_no_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "kgedit", "graph", "show", "Q0"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "Q0" in ended.stderr


class Sample(BaseModel):
    name: str = Field(min_length=2)
    count: int


def test_every_wrong_field_of_a_request_is_named_in_the_line() -> None:
    with pytest.raises(ValidationError) as wrong:
        Sample.model_validate({"name": "", "count": "x"})
    told = error_line(wrong.value)
    assert told is not None
    assert "name: " in told
    assert "count: " in told
    assert "\n" not in told


def test_a_file_error_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as wrong:
        (tmp_path / "absent").read_text()
    told = error_line(wrong.value)
    assert told is not None
    assert str(tmp_path / "absent") in told


def test_a_defect_of_the_program_is_not_dressed_up_as_a_user_error() -> None:
    assert error_line(ZeroDivisionError("division by zero")) is None


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["edti"], "'edit'"),
        (["graph", "shwo", "x"], "'show'"),
        (["eval", "counterfct"], "'counterfact'"),
        (["edit", "--subjct", "x"], "--subject"),
        (["relation"], "'relations'"),
        (["eval", "zrse"], "'zsre'"),
        (["models", "fetch", "smolm2"], "'smollm2'"),
        (["ask", "--model", "smolm2", "x"], "'smollm2'"),
        (["ask", "--dtype", "bfloat61", "x"], "'bfloat16'"),
        ([*_EDIT, "--method", "romme:layer=2"], "'rome'"),
        ([*_EDIT, "--method", "rome:layr=2"], "'layer'"),
        (["ingest", "plan", "x", "--format", "jsnol"], "'jsonl'"),
        (["graph", "show", "Frence"], "'France'"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest_one(words: list[str], meant: str, refused: Run) -> None:
    told = refused(*words)
    assert meant in told
    assert "?." not in told
