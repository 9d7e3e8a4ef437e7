"""`kgedit moments` on a tiny random model in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
EDIT = ("edit", "--method", "rome:steps=3", "--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


@pytest.fixture(autouse=True)
def _few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of the graph's facts for a dimension of the keys."""
    monkeypatch.setattr("kgedit.lm.second_moment.find.TOKENS_PER_DIMENSION", 12)


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


@pytest.mark.usefixtures("own_cache")
def test_without_a_text_the_facts_of_the_graph_are_read_and_later_edits_find_what_was_collected(
    tiny: str, tmp_path: Path, run: Run
) -> None:
    words = [*EDIT, "--model", tiny, "--json", "--out"]
    assert any("--moments collect" in note for note in run(*words, str(tmp_path / "before"))["notes"])
    found = run("moments", "--model", tiny, "--methods", "rome", "--sampled", "3", "--json")
    assert found["text"] == "facts of the graph"
    assert len(found["layers"]) == 1
    assert found["verdict"] in ("settled", "enough", "too little text")
    assert [change["tokens"] for change in found["changes"]] == sorted(change["tokens"] for change in found["changes"])
    assert not any("second moments" in note for note in run(*words, str(tmp_path / "after"))["notes"])


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("flag", [["--yes"], ["--moments", "collect"]])
def test_the_first_edit_collects_if_told_to(flag: list[str], tiny: str, tmp_path: Path, run: Run) -> None:
    words = [*EDIT, "--model", tiny, "--json", "--out"]
    assert not any("identity" in note for note in run(*words, str(tmp_path / "first"), *flag)["notes"])
    assert not any("identity" in note for note in run(*words, str(tmp_path / "then"))["notes"])


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("answer", "collected"), [(True, True), (False, False)])
def test_on_a_terminal_the_first_edit_asks(
    answer: bool, collected: bool, tiny: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgedit.cli.collecting._can_ask", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **more: asked.append(text) or answer)
    said = run(*EDIT, "--model", tiny, "--out", str(tmp_path / "out"))
    assert len(asked) == 1
    assert "never collected" in asked[0]
    assert ("identity stands in" in " ".join(said.split())) is not collected


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("answer", [True, False])
def test_an_evaluation_and_a_run_ask_before_the_first_case(
    answer: bool, tiny: str, real: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kgedit.cli.collecting._can_ask", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **more: asked.append(text) or answer)
    data = str(real / "counterfact" / "counterfact.json")
    words = (
        "eval",
        "counterfact",
        "--data",
        data,
        "--model",
        tiny,
        "--limit",
        "1",
        "--methods",
        "rome:steps=3",
        "--anyway",
    )
    said = run(*words)
    assert len(asked) == 1
    assert "never collected" in asked[0]
    assert ("identity stands in" in " ".join(said.split())) is not answer
    feed = tmp_path / "feed.jsonl"
    feed.write_text('{"subject": "Q937", "relation": "P27", "target_new": "Q142"}\n')
    run("ingest", "run", str(feed), "--store", str(tmp_path / "store"), "--model", tiny, "--method", "rome")
    assert len(asked) == (1 if answer else 2), "what was collected is found, what was not is asked for again"


def test_a_folder_and_a_data_set_are_texts(
    tiny: str, tmp_path: Path, run: Run, refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts"
    (texts / "deeper").mkdir(parents=True)
    (texts / "b.txt").write_text("Sentence two.\n\n")
    (texts / "deeper" / "a.md").write_text("Sentence three.\nSentence four.\n")
    (texts / "picture.png").write_bytes(b"\x89PNG")
    words = ("moments", "--model", tiny, "--layers", "1", "--json")
    assert run(*words, "--text", str(texts), "--out", str(tmp_path / "folder"))["passages"] == 3
    monkeypatch.setattr("kgedit.cli.passages.rows", lambda wanted: iter([{"text": "Sentence five."}] * 4))
    assert run(*words, "--text", "owner/name#train", "--out", str(tmp_path / "hub"))["passages"] == 4
    monkeypatch.setattr("kgedit.cli.passages.rows", lambda wanted: iter([{"body": "Sentence five."}]))
    assert "no column 'text'" in refused(*words[:-1], "--text", "owner/name", "--out", str(tmp_path / "other"))


def test_one_folder_has_one_text(tiny: str, tmp_path: Path, run: Run, refused: Run) -> None:
    (tmp_path / "one.txt").write_text("Sentence one.\n")
    (tmp_path / "two.txt").write_text("Sentence two.\n")
    words = ("moments", "--model", tiny, "--out", str(tmp_path / "out"), "--text")
    run(*words, str(tmp_path / "one.txt"), "--layers", "0", "--json")
    run(*words, str(tmp_path / "one.txt"), "--layers", "1", "--json")
    before = files(tmp_path)
    assert "layer 1" in refused(*words, str(tmp_path / "two.txt"), "--layers", "0")
    assert "layer 0" in refused(*words, str(tmp_path / "one.txt"), "--layers", "1", "--max-length", "2")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--layers", "3-1"], "3-1"),
        (["--layers", "1;2"], "1;2"),
        (["--layers", "99"], "99"),
        (["--text", "absent.txt"], "absent.txt"),
        (["--text", "empty.txt"], "text"),
        (["--text", "nothing here"], "nothing here"),
        (["--graph", "absent.sqlite"], "--graph"),
        (["--methods", "memitt"], "memitt"),
        (["--methods", "rome,memit:layers=0,99"], "layer 99"),
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
    words = [word for word in words if "--methods" not in changed or word not in ("--layers", "1")]
    assert named in refused("moments", *words, *changed)
    assert files(tmp_path) == before
