"""A model loads whole or not at all, from safetensors, in evaluation mode."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from families import FAMILIES, tiny_model
from kgedit.errors import LoadingError, UnknownModel
from kgedit.lm.load import load_model
from kgedit.mini import mini_folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model, tok = tiny_model("gpt2")
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_as_it_was_saved(family, tmp_path) -> None:
    model, tok = tiny_model(family)
    model.save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    loaded, tokenizer = load_model(str(tmp_path))
    assert not loaded.training
    theirs, ours = model.state_dict(), loaded.state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert tokenizer.is_fast
    assert tokenizer("Marie Curie")["input_ids"] == tok("Marie Curie")["input_ids"]


def test_the_stored_precision_unless_another_is_asked_for(saved, tmp_path) -> None:
    half, tok = tiny_model("gpt2")
    half.to(torch.bfloat16).save_pretrained(tmp_path)
    tok.save_pretrained(tmp_path)
    assert load_model(str(tmp_path))[0].dtype == torch.bfloat16
    assert load_model(str(tmp_path), dtype=torch.float32)[0].dtype == torch.float32
    assert load_model(str(saved))[0].dtype == torch.float32
    assert load_model(str(saved), device="cpu")[0].device.type == "cpu"


def halved(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names]


def with_config(**fields) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | fields))

    return change


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.mlp.c_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (halved("model.safetensors"), "damaged"),
        (halved("config.json"), "not a valid JSON"),
        (halved("tokenizer.json"), "tokenizer.json"),
        (without("model.safetensors"), "no file named model.safetensors"),
        (without("config.json"), "it has no config.json, so it is no model"),
        (without("tokenizer.json", "tokenizer_config.json"), "no vocabulary"),
        (as_pickle, "no file named model.safetensors"),
        (without_a_weight, r"1 are missing.*transformer\.h\.1\.mlp\.c_proj\.weight"),
        (with_config(n_inner=44), "another shape"),
        (with_config(n_layer=4), r"missing or have another shape \(transformer\.h\.3"),
        (with_config(model_type="nonsense"), "nonsense"),
        (with_config(model_type="t5"), "t5|T5"),
    ],
)
def test_half_a_model_is_refused(saved, tmp_path, damage, words, capfd) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    damage(folder)
    capfd.readouterr()
    with pytest.raises(UnknownModel, match=words) as caught:
        load_model(str(folder))
    assert str(folder) in str(caught.value)
    assert "safetensors weights, or a hub id" in str(caught.value)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "no such folder"),
        ("/no/such/folder", "no such folder"),
        ("../elsewhere/model", "no such folder"),
        ("a b", "no such folder"),
        ("./model", "no such folder"),
        ("model.gguf", "no such folder or file"),
        ("some-org/unknown-model", "no such folder or file.* HF_HUB_OFFLINE is set"),
        ("smolm2", "Did you mean 'smollm2'"),
    ],
)
def test_names_that_mean_nothing(name, words) -> None:
    with pytest.raises(UnknownModel, match=words) as caught:
        load_model(name)
    assert len(str(caught.value)) < 420


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "abc", "0" * 39])
def test_code_of_others_runs_only_at_a_pinned_commit(saved, revision) -> None:
    with pytest.raises(LoadingError, match="full commit"):
        load_model(str(saved), trust_remote_code=True, revision=revision)


def test_the_terminal_settings_of_transformers_are_put_back(saved, tmp_path) -> None:
    before = (transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity())
    load_model(str(saved))
    with pytest.raises(UnknownModel):
        load_model(str(tmp_path))
    assert (transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()) == before


def test_the_bundled_model_has_a_name_and_computes_in_float32() -> None:
    model, tokenizer = load_model("mini")
    assert model.dtype == torch.float32
    assert len(tokenizer) == model.config.vocab_size
    assert load_model(str(mini_folder()))[0].dtype == torch.float32
    assert load_model("mini", dtype=torch.float16)[0].dtype == torch.float16
