"""A model that transformers would load although its config or its weights make no sense is refused."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from families import FAMILIES, tiny_model
from kgedit.errors import UnknownModel
from kgedit.lm.load import load_model

Damage = Callable[[Path], None]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model, tokenizer = tiny_model("llama")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config(**fields: Any) -> Damage:
    def change(folder: Path) -> None:
        stated = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(stated | fields))

    return change


def weights(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file(tensors | {name: change(tensors[name])}, folder / WEIGHTS, {"format": "pt"})

    return damage


def with_value(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[-1] = value
        return tensor

    return change


def other_tokenizer(folder: Path) -> None:
    stated = json.loads((folder / "tokenizer.json").read_text())
    stated["model"]["vocab"]["Ulm"] = 5_000
    (folder / "tokenizer.json").write_text(json.dumps(stated))


def end_token(value: Any) -> Damage:
    def change(folder: Path) -> None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))

    return change


GATE = "model.layers.1.mlp.gate_proj.weight"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (config(num_hidden_layers=2), "no place.*model.layers.2"),
        (config(num_hidden_layers=0), "num_hidden_layers = 0"),
        (config(num_hidden_layers=-3), "num_hidden_layers = -3"),
        (config(num_hidden_layers=10**9), "num_hidden_layers = 1000000000"),
        (config(num_hidden_layers="three"), "num_hidden_layers.*three"),
        (config(num_attention_heads=0), "no model can be loaded"),
        (config(num_attention_heads=-4), "no model can be loaded"),
        (config(hidden_size=10**30), "hidden_size = 1"),
        (config(hidden_size=10**6), "another shape"),
        (config(hidden_size=0), "no model can be loaded"),
        (config(vocab_size=10**9), "another shape"),
        (config(vocab_size=-1), "no model can be loaded"),
        (config(max_position_embeddings=10**12), "max_position_embeddings"),
        (config(rms_norm_eps=float("nan")), "rms_norm_eps = nan"),
        (config(rope_parameters={"rope_type": "default", "rope_theta": -5}), "NaN or infinity.*inv_freq"),
        (config(rope_parameters={"rope_type": "nonsense"}), "no model can be loaded"),
        (config(hidden_act="nonsense"), "nonsense"),
        (config(dtype="nonsense"), "nonsense"),
        (config(dtype="int8"), "no model can be loaded"),
        (config(dtype=7), "no model can be loaded"),
        (config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}), "quantised"),
        (config(quantization_config={"quant_method": "nonsense"}), "quantised"),
        (config(quantization_config=7), "quantised"),
        (weights(GATE, with_value(math.nan)), f"NaN or infinity .{GATE}"),
        (weights(GATE, with_value(math.inf)), f"NaN or infinity .{GATE}"),
        (weights(GATE, with_value(-math.inf)), f"NaN or infinity .{GATE}"),
        (weights("model.embed_tokens.weight", with_value(math.nan)), "NaN or infinity .model.embed_tokens"),
        (weights(GATE, lambda tensor: tensor.to(torch.int8)), f"{GATE} is I8"),
        (weights(GATE, lambda tensor: tensor.to(torch.float8_e4m3fn)), f"{GATE} is F8"),
        (weights(GATE, lambda tensor: tensor.T.contiguous()), "another shape"),
        (weights(GATE, lambda tensor: tensor[None]), "another shape"),
        (end_token(float("nan")), "eos_token_id is nan"),
        (end_token([2, "x"]), "eos_token_id is .2, 'x'."),
        (other_tokenizer, "the token 5000, but the model has"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(saved: Path, tmp_path: Path, damage: Damage, words: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    damage(folder)
    with pytest.raises(UnknownModel, match=words):
        load_model(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_makes_sense_loads_in_half_precision(family: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(family)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load_model(str(tmp_path), dtype="float16")[0].dtype == torch.float16
