"""`kgedit moments` on a tiny random model in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
EDIT = ("edit", "--method", "rome", "--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_moments_are_collected_and_then_used_by_an_edit(tiny: str, tmp_path: Path, run: Run) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "moments"
    text.write_text("\n\n".join(f"Sentence number {i} is about the city of Ulm." for i in range(60)))
    found = run("moments", "--model", tiny, "--text", str(text), "--out", str(out), "--layers", "0-1", "--json")
    assert found["passages"] == 60
    assert set(found["layers"]) == {"0", "1"}
    assert found["layers"]["1"]["tokens"] >= 60
    assert Path(found["layers"]["1"]["file"]).is_file()
    words = [*EDIT, "--model", tiny, "--moments", str(out), "--out", str(tmp_path / "out"), "--json"]
    assert not any("second moments" in note for note in run(*words)["notes"])


def test_moments_of_the_bundled_model_are_the_default(tmp_path: Path, run: Run) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "moments"
    text.write_text("The capital of France is Paris.\n" * 3)
    found = run("moments", "--text", str(text), "--out", str(out), "--layers", "0-1", "--json")
    assert (found["model"], set(found["layers"])) == ("mini", {"0", "1"})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--layers", "3-1"], "3-1"),
        (["--layers", "1;2"], "1;2"),
        (["--layers", "99"], "99"),
        (["--text", "absent.txt"], "absent.txt"),
        (["--text", "empty.txt"], "text"),
        (["--text", "binary.txt"], "UTF-8"),
        (["--model", "no/such-model"], "no/such-model"),
    ],
)
def test_refused_moments_name_the_value_and_write_nothing(
    changed: list[str],
    named: str,
    tiny: str,
    tmp_path: Path,
    refused: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("Some text.\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(b"Some text.\n\xff\xfe\x00")
    before = files(tmp_path)
    words = ["--model", tiny, "--text", "text.txt", "--out", "out", "--layers", "1"]
    assert named in refused("moments", *words, *changed)
    assert files(tmp_path) == before
