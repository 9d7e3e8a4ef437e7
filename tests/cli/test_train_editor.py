"""`kgedit train-editor` on the bundled model: what it trains is found by `kgedit edit`, which needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.methods.trained_editor import TrainedEditor

Run = Callable[..., Any]
FEW = ("--facts", "8", "--report", "1", "--minutes", "10")
SMALL = "mend:rank=2:layers=5:edits=2:held_out=2:check_every=1:training_steps=1"
EDIT = ("--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


def test_a_trained_editor_is_found_by_later_commands(run: Run, refused: Run, tmp_path: Path) -> None:
    method = "mend:rank=2:layers=5"
    assert "kgedit train-editor --method mend --model mini" in refused(
        "edit", *EDIT, "--method", method, "--out", str(tmp_path / "out")
    )
    assert not (tmp_path / "out").exists()
    found = run("train-editor", "--method", SMALL, *FEW, "--json")
    assert TrainedEditor.load(Path(found["file"])).settings["rank"] == 2
    assert (found["edits"], found["training"]["steps"]) == (1, 1)
    assert found["figures"].keys() >= {"efficacy", "paraphrase", "neighborhood", "score"}
    out = str(tmp_path / "out")
    assert run("edit", *EDIT, "--method", method, "--out", out, "--json")["method"] == "mend"
    # What was trained stays, in the cache and in a file of one's own, until it is forced.
    own = tmp_path / "own.safetensors"
    own.write_bytes(Path(found["file"]).read_bytes())
    other = SMALL.replace("rank=2", "rank=3")
    for where in ((), ("--out", str(own))):
        told = refused("train-editor", "--method", other, *FEW, *where)
        assert "in 1 steps" in told
        assert "with rank 2, not 3" in told
    assert own.read_bytes() == Path(found["file"]).read_bytes()
    assert str(own) in run("train-editor", "--method", other, *FEW, "--out", str(own), "--force")
    assert TrainedEditor.load(own).settings["rank"] == 3
    # A file of somebody else is refused before the model is loaded, and stays.
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"weights of somebody else")
    assert "no earlier output" in refused("train-editor", "--method", SMALL, *FEW, "--out", str(other))
    assert other.read_bytes() == b"weights of somebody else"
    assert "is a folder" in refused("train-editor", "--method", SMALL, *FEW, "--out", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--method", "rome"), "needs no training"),
        (("--method", "mnd"), "mend"),
        (("--minutes", "0"), "minutes"),
        (("--method", "mend:layers=9"), "layer 9"),
        (("--method", "mend:rank=0"), "rank"),
    ],
)
def test_what_cannot_be_trained_is_one_line(words: tuple[str, ...], named: str, refused: Run) -> None:
    assert named in refused("train-editor", *words, *(() if "--minutes" in words else FEW))
