"""What is refused before the work: a file that is there, and a place that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from kgedit.errors import SaveFailed
from kgedit.io.existing import has_fields_of, refuse_existing, refuse_foreign
from kgedit.io.html_page import is_page, page


def test_a_file_that_is_there_needs_force(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("mine")
    with pytest.raises(SaveFailed, match="there already"):
        refuse_existing(tmp_path / "new", file, force=False)
    refuse_existing(tmp_path / "new" / "deep" / "er", file, force=True)
    with pytest.raises(SaveFailed, match="is a folder"):
        refuse_existing(tmp_path, force=True)
    assert file.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveFailed, match="file is no folder"):
        refuse_existing(tmp_path / "file" / "new", force=False)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(SaveFailed, match="is read-only"):
        refuse_existing(tmp_path / "new", force=True)


class _Kept(BaseModel):
    one: int
    other: str = ""


def test_what_was_made_here_is_replaced_and_other_files_are_not(tmp_path: Path) -> None:
    file = tmp_path / "out"

    def check(*, force: bool = False) -> None:
        refuse_foreign(file, ours=lambda content: is_page(content) or has_fields_of(_Kept, content), force=force)

    check()
    for ours in (page("Title", ["body"]), _Kept(one=1).model_dump_json()):
        file.write_text(ours)
        check()
    for foreign in (
        "",
        "<!DOCTYPE html><html>mine</html>",
        '{"one": 1}',
        "[" * 100_000,
        '{"one": 1, "other": "", "x": 1}',
    ):
        file.write_text(foreign)
        with pytest.raises(SaveFailed, match="no earlier output"):
            check()
        check(force=True)
