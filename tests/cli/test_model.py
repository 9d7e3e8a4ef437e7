"""`kgedit ask`, `edit` and `moments` on a tiny random model in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kgedit.cli.edit import shown
from kgedit.edit import Edit, EditResult
from kgedit.editor import Editor

Run = Callable[..., Any]
REQUEST = Edit(subject="Albert Einstein", relation="P27", target_new="France")
PROMPT = "Albert Einstein is a citizen of"
EDIT = ("edit", "--method", "rome", "--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


@pytest.fixture(scope="module")
def delta(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delta that the command line saved."""
    from kgedit.cli import main

    out = tmp_path_factory.mktemp("delta") / "out"
    with pytest.raises(SystemExit) as ended:
        main([*EDIT, "--model", tiny, "--out", str(out), "--adapter"])
    assert ended.value.code == 0
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ask_lists_answers_by_probability(tiny: str, run: Run) -> None:
    shown = run("ask", "--model", tiny, "-k", "3", PROMPT, "--json")
    found = [answer["probability"] for answer in shown["answers"]]
    assert 1 <= len(found) <= 3
    assert found == sorted(found, reverse=True)
    assert 0 < sum(found) <= 1
    assert (shown["model"], shown["delta"], shown["prompt"]) == (tiny, None, PROMPT)


def test_the_printed_result_is_the_one_of_the_editor(tiny: str, tmp_path: Path, run: Run) -> None:
    result = run(*EDIT, "--model", tiny, "--out", str(tmp_path / "out"), "--json")
    expected = Editor.from_pretrained(tiny, method="rome").apply(REQUEST).model_dump(mode="json")
    changing = {"seconds"}
    assert {name: result[name] for name in expected.keys() - changing} == {
        name: value for name, value in expected.items() if name not in changing
    }
    assert list(result["weights"]) == ["transformer.h.1.mlp.c_proj.weight"]
    assert result["notes"], "a guessed layer and missing second moments are worth a note"


def test_a_saved_edit_is_in_force_in_the_model_that_it_is_loaded_into(tiny: str, delta: Path, run: Run) -> None:
    editor = Editor.from_pretrained(tiny, method="rome")
    plain = editor.ask(PROMPT, 3)
    editor.apply(REQUEST)
    expected = editor.ask(PROMPT, 3)
    assert expected != plain
    found = run("ask", "--model", tiny, "--delta", str(delta), "-k", "3", PROMPT, "--json")["answers"]
    assert [answer["text"] for answer in found] == [text for text, _ in expected]
    assert [answer["probability"] for answer in found] == pytest.approx([share for _, share in expected], 1e-5)


@pytest.mark.parametrize(("after", "told"), [("France", False), ("Francia", True), ("Germany", True)])
def test_an_edit_that_did_not_take_is_called_so(after: str, told: bool) -> None:
    result = EditResult(
        id="0",
        edit=REQUEST,
        subject="Albert Einstein",
        target_new="France",
        method="rome",
        before="Switzerland",
        after=after,
        probability_before=0.1,
        probability_after=0.2,
        weights={},
        edges=0,
        seconds=1.0,
    )
    text = "\n".join(str(part) for part in shown(result, "mini", Path("out")))
    assert ("did not take" in text) is told


def test_the_adapter_lies_beside_the_delta(delta: Path) -> None:
    assert {path.name for path in (delta / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_a_prompt_of_ones_own_needs_no_relation(tiny: str, tmp_path: Path, run: Run) -> None:
    words = ["--subject", "Zorblax", "--prompt", "{} plays for", "--target", "Ruritania", "--method", "rome"]
    result = run("edit", *words, "--model", tiny, "--out", str(tmp_path / "out"), "--json")
    assert (result["subject"], result["target_new"], result["edges"]) == ("Zorblax", "Ruritania", 0)


def test_moments_of_the_bundled_model_are_the_default(tmp_path: Path, run: Run) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "moments"
    text.write_text("The capital of France is Paris.\n" * 3)
    found = run("moments", "--text", str(text), "--out", str(out), "--layers", "0-1", "--json")
    assert (found["model"], set(found["layers"])) == ("mini", {"0", "1"})


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


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--subject", "Albert Einstien"], "Albert Einstein"),
        (["--target", "Frannce"], "France"),
        (["--relation", "country of citizenshipp"], "country of citizenship"),
        (["--relation", "P6000"], "P6000"),
        (["--method", "nonsense"], "rome"),
        (["--prompt", "nobody is named here"], "Albert Einstein"),
        (["--prompt", "{} and {} met"], "{}"),
        (["--prompt", "{} " + "and so on " * 300], "tokens"),
        (["--target", " "], "target_new"),
        (["--model", "no/such-model"], "no/such-model"),
        (["--graph", "absent.sqlite"], "absent.sqlite"),
        (["--moments", "absent"], "absent"),
    ],
)
def test_a_refused_edit_names_the_value_and_writes_nothing(
    changed: list[str],
    named: str,
    tiny: str,
    tmp_path: Path,
    refused: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert named in refused(*EDIT, "--model", tiny, "--out", "out", *changed)
    assert list(tmp_path.iterdir()) == []


def test_an_edit_without_relation_and_prompt_says_what_is_missing(tmp_path: Path, refused: Run) -> None:
    told = refused("edit", "--subject", "x", "--target", "y", "--out", str(tmp_path / "out"))
    assert "relation" in told
    assert "prompt" in told


def test_an_output_folder_that_is_a_file_is_left_as_it_is(tiny: str, tmp_path: Path, refused: Run) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    assert str(out) in refused(*EDIT, "--model", tiny, "--out", str(out))
    assert out.read_text() == "mine"


def test_a_delta_for_other_weights_is_refused(other: str, delta: Path, refused: Run) -> None:
    before = files(delta)
    assert "hash" in refused("ask", "--model", other, "--delta", str(delta), PROMPT).lower()
    assert files(delta) == before


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
