"""Every command that loads a model has the same options for it, and they reach the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_tree import commands
from kgedit.cli.loading import as_words

Run = Callable[..., Any]
OPTIONS = {"--device", "--dtype", "--revision", "--trust-remote-code"}
LOADING = [
    "ask", "edit", "moments", "eval counterfact", "eval mquake", "ingest plan", "ingest run", "ingest calibrate",
    "ingest consolidate", "ingest report", "ingest verify", "journal undo", "journal verify", "journal replay",
    "export adapter", "export checkpoint", "export delta", "export gguf", "export gguf-lora",
]  # fmt: skip


def test_every_command_that_loads_a_model_has_the_options() -> None:
    having = {
        " ".join(words)
        for words, command in commands()
        if {name for parameter in command.params for name in parameter.opts} >= OPTIONS
    }
    assert having >= set(LOADING)


def test_a_device_that_is_not_here_is_one_line_of_every_command(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    for words, command in commands():
        if "--device" not in {name for parameter in command.params for name in parameter.opts}:
            continue
        needed: list[str] = []
        for parameter in command.params:
            if parameter.required:
                value = {"suite": "mquake", "id": "1"}.get(parameter.name, str(tmp_path / "given"))
                needed += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
        assert "did you mean 'cuda'" in refused(*words, *needed, "--device", "gpu"), words
    assert [path.name for path in tmp_path.rglob("*")] == ["given"]


def test_misspelt_devices_and_unpinned_code_are_refused_before_loading(refused: Run, tmp_path: Path) -> None:
    edit = ("edit", "--subject", "Q937", "--relation", "P27", "--target", "France", "--out", str(tmp_path / "d"))
    assert "did you mean 'cuda'" in refused(*edit, "--device", "gpu")
    assert "full commit" in refused(*edit, "--trust-remote-code")
    assert "bfloat16" in refused("ask", "x", "--dtype", "bf16")
    assert "no revisions" in refused("ask", "x", "--revision", "main")


def test_the_precision_reaches_the_model_and_its_manifest(tiny: str, run: Run, tmp_path: Path) -> None:
    case = Path(__file__).parent.parent / "data" / "counterfact" / "counterfact.json"
    words = ("eval", "counterfact", "--data", str(case), "--model", tiny, "--limit", "1", "--methods", "unedited")
    run(*words, "--dtype", "bfloat16", "--device", "cpu", "--out", str(tmp_path / "run"), "--json")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["model"]["dtype"] == "torch.bfloat16"


def test_a_store_is_opened_again_in_its_precision(tmp_path: Path, run: Run, tiny: str) -> None:
    from kgedit.ingest.session import open_edited, open_session

    with open_session(tmp_path, model=tiny, method="rome", moments="identity", dtype="bfloat16") as session:
        assert str(session.editor.model.dtype) == "torch.bfloat16"
    with open_edited(tmp_path) as (store, editor, _):
        assert str(editor.model.dtype) == "torch.bfloat16"
        assert store.loading == {"dtype": "bfloat16"}
    run("journal", "verify", "--store", str(tmp_path), "--device", "cpu", "--json")


def test_the_options_are_shown_as_they_are_typed() -> None:
    assert as_words({"device": "cuda:1", "trust_remote_code": True}) == " --device cuda:1 --trust-remote-code"
    assert as_words({}) == ""
