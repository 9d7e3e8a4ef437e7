"""`kgedit tune` on the bundled model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.presets import table

Run = Callable[..., Any]
FEW = ("--edits", "4", "--report", "4")


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KGEDIT_CONFIG_DIR", str(tmp_path / "config"))


def test_a_preset_is_written_and_found_by_later_commands(run: Run, tmp_path: Path) -> None:
    words = ("--method", "rome", *FEW, "--minutes", "0.02", "--moments", "identity")
    found = run("tune", *words, "--json")
    assert Path(found["preset"]).is_file()
    assert table("mini", "rome") == found["settings"]
    told = table("mini", "tuned")["rome"]
    assert (told["edits"], told["reported_edits"], told["seed"]) == (4, 4, 1000)
    assert found["figures"]["efficacy"] > found["unedited"]["efficacy"]
    words = ("--subject", "Albert Einstein", "--relation", "P27", "--target", "France", "--moments", "identity")
    words += ("--out", str(tmp_path / "out"))
    assert run("edit", *words, "--method", "rome", "--json")["method"] == "rome"


def test_a_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    words = ("--method", "rome", *FEW, "--minutes", "0.001", "--moments", "identity", "--dry-run")
    assert "mini, rome: " in run("tune", *words)
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--method", "roma"), "roma"),
        (("--edits", "3"), "edits"),
        (("--report", "0"), "report"),
        (("--minutes", "0"), "minutes"),
        (("--minutes", "nan"), "minutes"),
        (("--model", "no/such-model"), "no/such-model"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(words: tuple[str, ...], named: str, refused: Run, tmp_path: Path) -> None:
    assert named in refused("tune", *words)
    assert not (tmp_path / "config").exists()
