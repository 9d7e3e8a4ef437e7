"""`kgedit ask` on a tiny random model in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.edit import Edit
from kgedit.editor import Editor
from tiny_gguf import write_tiny_llama

Run = Callable[..., Any]
REQUEST = Edit(subject="Albert Einstein", relation="P27", target_new="France")
PROMPT = "Albert Einstein is a citizen of"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ask_lists_answers_by_probability(tiny: str, run: Run) -> None:
    shown = run("ask", "--model", tiny, "-k", "3", PROMPT, "--json")
    found = [answer["probability"] for answer in shown["answers"]]
    assert 1 <= len(found) <= 3
    assert found == sorted(found, reverse=True)
    assert 0 < sum(found) <= 1
    assert (shown["model"], shown["deltas"], shown["prompt"]) == (tiny, [], PROMPT)


def test_a_saved_edit_is_in_force_in_the_model_that_it_is_loaded_into(tiny: str, delta: Path, run: Run) -> None:
    editor = Editor.from_pretrained(tiny, method="rome")
    plain = editor.ask(PROMPT, 3)
    editor.apply(REQUEST)
    expected = editor.ask(PROMPT, 3)
    assert expected != plain
    found = run("ask", "--model", tiny, "--delta", str(delta), "-k", "3", PROMPT, "--json")["answers"]
    assert [answer["text"] for answer in found] == [text for text, _ in expected]
    assert [answer["probability"] for answer in found] == pytest.approx([share for _, share in expected], 1e-5)


def test_a_delta_for_other_weights_is_refused(other: str, delta: Path, refused: Run) -> None:
    before = files(delta)
    assert "hash" in refused("ask", "--model", other, "--delta", str(delta), PROMPT).lower()
    assert files(delta) == before


def test_a_delta_for_another_vocabulary_is_refused(tiny: str, tmp_path: Path, delta: Path, refused: Run) -> None:
    """The same weights under a tokenizer in which two words have each other's ids."""
    folder = tmp_path / "swapped"
    shutil.copytree(tiny, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    one, other = list(vocabulary)[-2:]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "vocabulary of hash" in refused("ask", "--model", str(folder), "--delta", str(delta), PROMPT)
    assert "vocabulary of hash" in refused(
        "export", "gguf-lora", "--model", str(folder), "--delta", str(delta), "--out", str(tmp_path / "out.gguf")
    )
    assert not (tmp_path / "out.gguf").exists()


def test_what_is_no_delta_says_what_it_is(tiny: str, tmp_path: Path, delta: Path, refused: Run) -> None:
    file = tmp_path / "some.gguf"
    file.write_bytes(b"GGUF")
    for path, told in ((delta / "adapter", "a PEFT adapter"), (Path(tiny), "a model"), (file, "a GGUF file")):
        assert f"no delta of kgedit but {told}" in refused("ask", "--model", tiny, "--delta", str(path), PROMPT)


def test_a_damaged_delta_is_refused(tiny: str, tmp_path: Path, delta: Path, refused: Run) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in delta.iterdir():
        if path.is_file():
            data = path.read_bytes()
            (damaged / path.name).write_bytes(data[:-1] if path.suffix == ".safetensors" else data)
    assert str(damaged) in refused("ask", "--model", tiny, "--delta", str(damaged), PROMPT)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--delta", "absent", "x"], "absent"),
        (["--model", "no/such-model", "x"], "no/such-model"),
        (["and so on " * 300], "tokens"),
        ([""], "no token"),
    ],
)
def test_a_refused_question_names_the_value(words: list[str], named: str, tiny: str, refused: Run) -> None:
    assert named in refused("ask", *(() if "--model" in words else ("--model", tiny)), *words)


@pytest.mark.usefixtures("own_cache")
def test_a_chat_model_is_asked_through_its_template(tmp_path: Path, run: Run, refused: Run, tiny: str) -> None:
    file = str(tmp_path / "tiny.gguf")
    write_tiny_llama(Path(file))
    said = run("ask", "Where was Einstein born?", "--model", file, "--chat", "--system", "Be brief.", "--json")
    assert said["asked"] == "<s>system: Be brief.</s><s>user: Where was Einstein born?</s><s>assistant:"
    assert len(said["answers"]) == 5
    assert run("ask", "Einstein was born in", "--model", file, "--json")["asked"] == "Einstein was born in"
    assert "--chat" in refused("ask", "Who?", "--model", file, "--system", "Be brief.")
    assert "no chat template" in refused("ask", "Who?", "--model", tiny, "--chat")
