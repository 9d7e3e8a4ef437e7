"""An SQLite file of one kind; what damage, other writers and full disks do is in the tests of its two users."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from kg_cache.sqlite_file import SqliteFault, SqliteFile, SqliteKind


class Refused(Exception):
    def __init__(self, fault: SqliteFault, path: Path, detail: str) -> None:
        super().__init__(fault.name)
        self.detail = detail


KIND = SqliteKind(0x74657374, 3, "CREATE TABLE note (text TEXT UNIQUE);\n", Refused)


def texts(file: SqliteFile) -> list[str]:
    return [text for (text,) in file.rows("SELECT text FROM note ORDER BY text")]


@pytest.fixture
def file(tmp_path: Path):
    opened = SqliteFile(tmp_path / "notes.sqlite", KIND)
    yield opened
    opened.close()


def test_a_block_within_a_block_joins_its_transaction(file: SqliteFile) -> None:
    def failing() -> None:
        with file.transaction():
            with file.transaction():
                file.run_many("INSERT INTO note VALUES (?)", [("a",), ("b",)])
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert texts(file) == []
    with file.transaction():
        file.rows("INSERT INTO note VALUES (?)", ("c",))
    assert texts(file) == ["c"]


def test_what_two_processes_make_at_once_is_made_once(file: SqliteFile, tmp_path: Path) -> None:
    file.rows("INSERT INTO note VALUES ('kept')")
    again = SqliteFile(tmp_path / "notes.sqlite", KIND)
    assert texts(again) == ["kept"]
    again.close()


def test_a_fault_in_a_statement_is_the_kinds_error(file: SqliteFile) -> None:
    with pytest.raises(Refused, match="OTHER") as caught:
        file.rows("SELECT text FROM nowhere")
    assert "nowhere" in caught.value.detail


def test_reading_needs_a_file_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="MISSING"):
        SqliteFile(tmp_path / "none.sqlite", KIND, read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("pragma", "fault"), [("user_version = 4", "OTHER_VERSION"), ("application_id = 1", "FOREIGN")]
)
def test_a_file_of_another_kind_or_version_is_left_alone(file: SqliteFile, pragma: str, fault: str) -> None:
    file.close()
    with sqlite3.connect(file.path) as raw:
        raw.execute(f"PRAGMA {pragma}")
    raw.close()
    before = file.path.read_bytes()
    with pytest.raises(Refused, match=fault):
        SqliteFile(file.path, KIND)
    assert file.path.read_bytes() == before


def test_a_reader_cannot_write(file: SqliteFile) -> None:
    reader = SqliteFile(file.path, KIND, read_only=True)
    with pytest.raises(Refused, match="NO_RIGHTS"):
        reader.rows("INSERT INTO note VALUES ('x')")
    reader.close()
