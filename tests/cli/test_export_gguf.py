"""`kgedit export gguf-lora` and `gguf`, from saved edits and from a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.conftest import Run
from ingest.stores import edited_store
from kgedit.lm.sources.gguf_file import field, open_gguf
from kgedit.mini import mini_folder
from tiny_gguf import write_tiny_llama

EDIT = ("edit", "--subject", "Ulm", "--prompt", "{} lies in", "--target", "France", "--method", "rome:steps=5")


@pytest.fixture
def edited(own_cache: Path, tmp_path: Path, run: Run) -> tuple[str, str]:
    """A tiny llama's GGUF file, and a delta for it."""
    file, delta = str(tmp_path / "tiny.gguf"), str(tmp_path / "delta")
    write_tiny_llama(Path(file))
    made = run(*EDIT, "--model", file, "--out", delta, "--json")
    assert made["probability_after"] > made["probability_before"]
    return file, delta


def test_a_saved_edit_leaves_as_adapter_and_as_whole_model(edited: tuple[str, str], tmp_path: Path, run: Run) -> None:
    file, delta = edited
    words = ("--model", file, "--delta", delta)
    lora = run("export", "gguf-lora", *words, "--out", str(tmp_path / "lora.gguf"), "--json")
    assert lora["facts"] == ["Ulm | {} lies in | France"]
    assert lora["base"]["file"] == "tiny.gguf"
    assert field(open_gguf(tmp_path / "lora.gguf"), "general.type") == "adapter"
    for precision, kind in (("f16", "F16"), ("q8_0", "Q8_0")):
        out = tmp_path / f"{precision}.gguf"
        run("export", "gguf", *words, "--out", str(out), "--precision", precision)
        kinds = {tensor.name: tensor.tensor_type.name for tensor in open_gguf(out).tensors}
        assert kinds["blk.0.ffn_down.weight"] == kind


def test_a_store_leaves_as_adapter_and_as_whole_model(tmp_path: Path, run: Run) -> None:
    store = edited_store(tmp_path / "store")
    lora = run("export", "gguf-lora", "--store", str(store), "--out", str(tmp_path / "lora.gguf"), "--json")
    assert len(lora["facts"]) == 2
    assert field(open_gguf(tmp_path / "lora.gguf"), "general.architecture") == "gpt2"
    whole = run("export", "gguf", "--store", str(store), "--out", str(tmp_path / "whole.gguf"), "--json")
    assert (whole["base"], whole["precision"]) == (None, "f16")
    assert len(field(open_gguf(tmp_path / "whole.gguf"), "kgedit.facts")) == 2


def test_a_model_alone_leaves_unedited(tmp_path: Path, run: Run, refused: Run) -> None:
    unedited, out = tmp_path / "unedited.gguf", ("--out", str(tmp_path / "x.gguf"))
    run("export", "gguf", "--model", "mini", "--out", str(unedited))
    assert field(open_gguf(unedited), "kgedit.facts") is None
    assert field(open_gguf(unedited), "tokenizer.ggml.pre") == "gpt-2"
    for words in ((), ("--store", "STORE", "--model", "mini")):
        assert "--store" in refused("export", "gguf", *words, *out)
    assert "--delta" in refused("export", "gguf-lora", "--model", "mini", *out)


def test_a_file_of_the_models_folder_is_not_written_over(tmp_path: Path, refused: Run) -> None:
    shutil.copytree(mini_folder(), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    before = weights.read_bytes()
    words = ("--model", str(tmp_path / "model"), "--out", str(weights), "--force")
    assert "the file of the model itself" in refused("export", "gguf", *words)
    assert weights.read_bytes() == before


def test_what_cannot_be_exported_is_one_line(edited: tuple[str, str], tmp_path: Path, run: Run, refused: Run) -> None:
    file, delta = edited
    out = ("--out", str(tmp_path / "x.gguf"))
    assert "--store" in refused("export", "gguf-lora", *out)
    assert "other tokens" in refused("export", "gguf-lora", "--model", "mini", "--delta", delta, *out)
    other = str(tmp_path / "other")
    run(*EDIT[:-3], "Spain", "--method", "rome", "--model", file, "--out", other, "--json")
    said = refused("export", "gguf-lora", "--model", file, "--delta", delta, "--delta", other, *out)
    assert "the fact Ulm | {} lies in different objects, France and Spain" in said
    for command in ("gguf", "gguf-lora"):
        own = ("--model", file, "--delta", delta, "--out", file, "--force")
        before = Path(file).read_bytes()
        assert "the file of the model itself" in refused("export", command, *own)
        assert Path(file).read_bytes() == before
    assert not (tmp_path / "x.gguf").exists()
    # Where the file was moved to, it is found.
    Path(file).rename(tmp_path / "moved.gguf")
    run("export", "gguf", "--model", str(tmp_path / "moved.gguf"), "--delta", delta, *out)
    assert (tmp_path / "x.gguf").exists()
