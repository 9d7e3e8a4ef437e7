"""`kgedit ingest follow`: a folder, once, and what is refused before the model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.following import cheap_follower

Run = Callable[..., Any]


@pytest.fixture
def feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cheap_follower.cheap(monkeypatch.setattr)
    folder = tmp_path / "feeds"
    folder.mkdir()
    row = json.dumps({"who": "Q1", "relation": "P6", "target_new": "Q10"})
    (folder / "1.jsonl").write_text(f"{row}\n{{broken\n")
    return folder


def test_a_folder_is_followed_once(tmp_path: Path, feeds: Path, run: Run) -> None:
    words = ["ingest", "follow", str(feeds), "--store", str(tmp_path / "store"), "--once", "--map", "who=subject"]
    found = run(*words, "--json")
    assert (found["records"], sum(found["changes"].values())) == ({"new": 1, "malformed": 1}, 1)
    assert "1.jsonl, line 2" in run(*words)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["none"], "no folder"),
        (["stream", "--since", "yesterday"], "cannot start"),
        (["stream", "--property", "Q5"], "no property id"),
        (["stream", "--entity", "P6"], "no item id"),
        (["FEEDS", "--method", "finetune-adapter"], "closed-form"),
    ],
)
def test_what_cannot_be_followed_is_one_line_and_no_store(
    tmp_path: Path, feeds: Path, refused: Run, words: list[str], why: str
) -> None:
    words = [str(feeds) if word == "FEEDS" else word for word in words]
    assert why in refused("ingest", "follow", *words, "--store", str(tmp_path / "store"), "--once")
    assert not (tmp_path / "store").exists()
