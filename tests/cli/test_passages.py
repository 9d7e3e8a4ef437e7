"""Texts of a user's own files."""

from __future__ import annotations

from pathlib import Path

from kgedit.cli.passages import Passages

TEXTS = ["Köln lies in Germany.", "Ulm lies in Germany."]


def test_the_mark_of_utf8_and_the_line_breaks_of_windows_are_no_part_of_a_text(tmp_path: Path) -> None:
    for number, text in enumerate(TEXTS):
        (tmp_path / f"{number}.txt").write_bytes(f"{text}\r\n\r\n".encode("utf-8-sig"))
    assert list(Passages(str(tmp_path))) == TEXTS
    assert list(Passages(str(tmp_path / "0.txt"))) == TEXTS[:1]
