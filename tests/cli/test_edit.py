"""`kgedit edit` on a tiny random model in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from kgedit.cli.edit import shown
from kgedit.edit import Edit, EditResult
from kgedit.editor import Editor

Run = Callable[..., Any]
REQUEST = Edit(subject="Albert Einstein", relation="P27", target_new="France")
METHOD = "rome:steps=3"
EDIT = ("edit", "--method", METHOD, "--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


def test_the_printed_result_is_the_one_of_the_editor(tiny: str, tmp_path: Path, run: Run) -> None:
    result = run(*EDIT, "--model", tiny, "--out", str(tmp_path / "out"), "--json")
    expected = Editor.from_pretrained(tiny, method=METHOD).apply(REQUEST).model_dump(mode="json")
    changing = {"seconds", "peak_memory"}
    assert {name: result[name] for name in expected.keys() - changing} == {
        name: value for name, value in expected.items() if name not in changing
    }
    assert list(result["weights"]) == ["transformer.h.1.mlp.c_proj.weight"]
    assert result["notes"], "a guessed layer and missing second moments are worth a note"


def test_nothing_that_lies_in_the_folder_is_written_over_silently(
    tiny: str, tmp_path: Path, run: Run, refused: Run
) -> None:
    words = (*EDIT, "--model", tiny, "--out")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "manifest.json").write_text('{"name": "my web page"}')
    for force in ((), ("--force",)):
        assert "is no manifest of a delta" in refused(*words, str(mine), *force)
    assert (mine / "manifest.json").read_text() == '{"name": "my web page"}'
    out = tmp_path / "out"
    first = run(*words, str(out), "--json")
    (out / "notes.txt").write_text("mine")
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "--force" in refused(*words, str(out), "--seed", "1")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == files
    assert run(*words, str(out), "--force", "--adapter", "--json")["id"] == first["id"]
    assert (out / "notes.txt").read_text() == "mine"


def test_the_adapter_of_a_replaced_delta_goes_with_it_and_one_that_is_not_ours_stays(
    tiny: str, tmp_path: Path, run: Run
) -> None:
    fact = ("--subject", "Zorblax", "--prompt", "{} plays for", "--method", METHOD)
    words = ("edit", *fact, "--model", tiny, "--out", str(tmp_path / "out"), "--json")
    run(*words, "--target", "Ruritania", "--adapter")
    adapter = tmp_path / "out" / "adapter"
    (adapter / "README.md").write_text("mine")
    run(*words, "--target", "Ruritania", "--force")  # the same edit: it is its adapter still
    weights = adapter / "adapter_model.safetensors"
    assert weights.exists()
    run(*words, "--target", "Graustark", "--force")
    assert [path.name for path in adapter.iterdir()] == ["README.md"]
    weights.write_bytes(save({"mine": torch.ones(1)}))
    run(*words, "--target", "Ruritania", "--force")
    assert weights.exists()
    for path in (tmp_path / "out").glob("*.*"):  # the adapter is left alone: no delta beside it that it is of
        path.unlink()
    run(*words, "--target", "Ruritania", "--adapter", "--force")
    for path in (tmp_path / "out").glob("*.*"):
        path.unlink()
    run(*words, "--target", "Graustark")
    assert weights.exists()


@pytest.mark.parametrize(
    ("after", "told"),
    [("France", False), ("Francia", True), ("Germany", True), ("Francesca", True), ("the French Republic", False)],
)
def test_an_edit_that_did_not_take_is_called_so(after: str, told: bool) -> None:
    result = EditResult(
        id="0",
        edit=REQUEST,
        subject="Albert Einstein",
        target_new="France",
        method="rome",
        before="Switzerland",
        after=after,
        aliases=("French Republic",),
        probability_before=0.1,
        probability_after=0.2,
        weights={},
        edges=0,
        seconds=1.0,
    )
    text = "\n".join(str(part) for part in shown(result, "mini", Path("out")))
    assert ("did not take" in text) is told


def test_a_code_of_the_new_object_is_no_answer(tiny: str, tmp_path: Path, run: Run) -> None:
    words = ["--subject", "Zorblax", "--prompt", "{} speaks", "--target", "Q652", "--method", METHOD]
    aliases = run("edit", *words, "--model", tiny, "--out", str(tmp_path / "out"), "--json")["aliases"]
    assert "Italian language" in aliases
    assert not {"it", "ita", "ISO 639:it"} & set(aliases)


def test_the_adapter_lies_beside_the_delta(delta: Path) -> None:
    assert {path.name for path in (delta / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_a_prompt_of_ones_own_needs_no_relation(tiny: str, tmp_path: Path, run: Run) -> None:
    words = ["--subject", "Zorblax", "--prompt", "{} plays for", "--target", "Ruritania", "--method", METHOD]
    result = run("edit", *words, "--model", tiny, "--out", str(tmp_path / "out"), "--json")
    assert (result["subject"], result["target_new"], result["edges"]) == ("Zorblax", "Ruritania", 0)


def test_the_boundary_can_be_set(tiny: str, tmp_path: Path, run: Run) -> None:
    words = ["--subject", "Zorblax", "--prompt", "{} plays for", "--target", "Ruritania", "--method", METHOD]
    said = {}
    for boundary in ("none", "space"):
        out = str(tmp_path / boundary)
        said[boundary] = run("edit", *words, "--boundary", boundary, "--model", tiny, "--out", out, "--json")
    assert [said[name]["edit"]["boundary"] for name in said] == ["", " "]
    # A space makes other tokens of the target, which the unedited model finds otherwise probable.
    assert said["none"]["probability_before"] != said["space"]["probability_before"]
    plain = run("edit", *words, "--model", tiny, "--out", str(tmp_path / "plain"), "--json")
    assert plain["probability_before"] == said["space"]["probability_before"]
    assert "boundary" not in plain["edit"]


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


CHAT = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}<assistant>\n"


@pytest.fixture
def chat_model(tiny: str, tmp_path: Path) -> Path:
    """The tiny model with a chat template."""
    folder = tmp_path / "chat"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    return folder


def test_a_chat_model_is_edited_and_asked_as_a_chat_and_the_manifest_says_how(
    chat_model: Path, tmp_path: Path, run: Run
) -> None:
    words = (*EDIT, "--model", str(chat_model), "--json", "--out")
    made = run(*words, str(tmp_path / "chat"), "--system", "Be brief.")
    assert made["chat"]["question"] == (
        "<system> Be brief.\n<user> Which country is Albert Einstein a citizen of?\n<assistant>"
    )
    assert made["chat"]["probability_after"] != made["chat"]["probability_before"]
    manifest = (tmp_path / "chat" / "manifest.json").read_text()
    assert all(json.dumps(told) in manifest for told in ("Be brief.", CHAT))
    never = run(*words, str(tmp_path / "never"), "--chat", "never")
    assert never["chat"] is None
    assert never["id"] != made["id"]


def test_what_is_no_chat_model_or_has_a_broken_template_is_one_line(
    tiny: str, chat_model: Path, tmp_path: Path, refused: Run
) -> None:
    out = ("--out", str(tmp_path / "out"))
    assert "no chat template" in refused(*EDIT, "--model", tiny, "--chat", "always", *out)
    (chat_model / "chat_template.jinja").write_text("{{ raise_exception('only pairs') }}")
    assert "only pairs" in refused(*EDIT, "--model", str(chat_model), *out)
    assert not (tmp_path / "out").exists()
