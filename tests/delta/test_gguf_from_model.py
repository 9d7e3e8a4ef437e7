"""A model from a Hugging Face folder, exported as a GGUF file, does in llama.cpp what it does in transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from delta.conftest import MakeDelta
from delta.test_gguf_exact import PROMPTS, compare
from delta.test_gguf_lora import everywhere
from families import tiny_model
from kgedit.delta.gguf.families import GGUF_FAMILIES
from kgedit.delta.gguf.from_model import gguf_from_model
from kgedit.delta.gguf.lora import export_gguf_lora
from kgedit.delta.gguf.writing import Precision
from kgedit.errors import UnsupportedExport
from kgedit.lm.load import load_model
from kgedit.lm.sources.gguf_file import field, open_gguf
from llama_cpp import LlamaCpp

TEXTS = (
    "naïve café, Søren Kierkegaard, Zürich, Łódź", "北京 東京都 서울", "🎉 👨‍👩‍👧 family", "1879, 7,890.12 and ٣٤٥",
    "I'M we'LL don't", "x\n\n  12 y\t z  ", "a/b_c-d!! ??", "Москва Αθήνα القاهرة मुंबई",
)  # fmt: skip
# What differs from the tiny models of the other tests: rows that blocks of 32 fit; no window, which llama.cpp lacks.
SIZES: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16, "vocab_size": 448}
OTHER: dict[str, dict[str, Any]] = {
    "gpt2": {"hidden_size": 64, "n_inner": 96, "vocab_size": 448},
    "mistral": {**SIZES, "sliding_window": None},
    "smollm3": {**SIZES, "no_rope_layers": None, "num_hidden_layers": 4},
}
# llama.cpp looks up GELU in a table of half precision, also where a family has the exact one.
ROUGH = {"gpt2": 5e-3, "starcoder2": 5e-3, "phi": 5e-3, "gpt_neox": 1e-2}


def folder_of(family: str, folder: Path, **overrides: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A tiny model that was saved as a folder, loaded from there."""
    fields = {**OTHER.get(family, SIZES), **overrides}
    model, tokenizer = tiny_model(family, **fields)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_model(str(folder))


@pytest.mark.parametrize("family", GGUF_FAMILIES)
def test_llama_cpp_says_the_same_with_the_edits_inside_and_as_an_adapter(family: str, tmp_path: Path) -> None:
    model, tokenizer = folder_of(family, tmp_path / "model")
    delta = everywhere(model)
    unedited = gguf_from_model(model, tokenizer, tmp_path / "unedited.gguf", precision="f32")
    adapter = export_gguf_lora(delta, model, tmp_path / "adapter.gguf")
    on_top = LlamaCpp(unedited, [adapter])
    gaps, worst = compare(on_top, model, PROMPTS[:2], 6)
    assert max(gaps) < 2 * ROUGH.get(family, 0.0) + 1e-6
    assert worst < ROUGH.get(family, 2e-4)
    on_top.scales(1.0)
    for text in TEXTS:
        assert on_top.tokenize(text) == tokenizer(text).input_ids
    with delta.apply(model):
        merged = gguf_from_model(model, tokenizer, tmp_path / "merged.gguf", delta=delta, precision="f32")
        for judge in (LlamaCpp(merged), on_top):
            gaps, worst = compare(judge, model, PROMPTS[:4], 6)
            assert max(gaps) < 2 * ROUGH.get(family, 0.0) + 1e-6
            assert worst < ROUGH.get(family, 2e-4)


@pytest.mark.parametrize(
    ("precision", "family"), [("f16", "llama"), ("q8_0", "llama"), ("f16", "gpt2"), ("q8_0", "gpt2")]
)
def test_smaller_precisions_stay_near(precision: Precision, family: str, tmp_path: Path) -> None:
    model, tokenizer = folder_of(family, tmp_path / "model")
    judge = LlamaCpp(gguf_from_model(model, tokenizer, tmp_path / "m.gguf", precision=precision))
    worst = compare(judge, model, PROMPTS[:4], 6)[1]
    assert worst < {"f16": 0.05, "q8_0": 0.5}[precision]


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gpt2", {"tie_word_embeddings": False}),
        ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "rope_theta": 100.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 32,
                }
            },
        ),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen3", {"tie_word_embeddings": True, "head_dim": 32}),
        ("gpt_neox", {"use_parallel_residual": False}),
    ],
)
def test_settings_of_a_family_are_carried_over(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model, tokenizer = folder_of(family, tmp_path / "model", **settings)
    judge = LlamaCpp(gguf_from_model(model, tokenizer, tmp_path / "m.gguf", precision="f32"))
    worst = compare(judge, model, PROMPTS[:4], 4)[1]
    assert worst < ROUGH.get(family, 2e-4)


def test_the_bundled_model_says_the_same(tmp_path: Path) -> None:
    model, tokenizer = load_model("mini")
    file = gguf_from_model(model, tokenizer, tmp_path / "mini.gguf", precision="f32")
    judge = LlamaCpp(file)
    assert [text for text in (*TEXTS, *PROMPTS) if judge.tokenize(text) != tokenizer(text).input_ids] == []
    gaps, worst = compare(judge, model, PROMPTS[:4], 6)
    assert max(gaps) == 0.0
    assert worst < 2e-2
    assert field(open_gguf(file), "general.base_model.0.name") == "mini"


def test_the_file_says_what_it_changes_and_can_be_edited_again(make_delta: MakeDelta, tmp_path: Path) -> None:
    model, tokenizer = folder_of("llama", tmp_path / "model")
    edit = {"subject": "Albert Einstein", "relation": "P27", "target_new": "France", "prompt": None}
    delta = make_delta(model, layers=(1,), manifest={"edit": edit})
    with delta.apply(model):
        file = gguf_from_model(model, tokenizer, tmp_path / "m.gguf", delta=delta, precision="f32")
        again, _ = load_model(str(file))
        for name, parameter in model.named_parameters():
            assert torch.equal(again.get_parameter(name), parameter), name
    reader = open_gguf(file)
    assert field(reader, "kgedit.facts") == ["Albert Einstein | P27 | France"]
    assert field(reader, "kgedit.delta") == delta.id
    assert field(reader, "kgedit.base_weights_sha256") == delta.base_hash
    assert field(reader, "general.name") == "model"


def test_edits_that_are_not_applied_are_not_claimed(make_delta: MakeDelta, tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama")
    with pytest.raises(UnsupportedExport, match="not applied"):
        gguf_from_model(model, tokenizer, tmp_path / "m.gguf", delta=make_delta(model))
    assert list(tmp_path.iterdir()) == []


def test_a_window_ends_the_context_since_llama_cpp_would_look_beyond_it(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("mistral", sliding_window=6)
    reader = open_gguf(gguf_from_model(model, tokenizer, tmp_path / "m.gguf"))
    assert field(reader, "llama.context_length") == 6


@pytest.mark.parametrize("family", ["gemma2", "opt"])
def test_a_family_that_is_not_covered_is_refused_with_those_that_are(family: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(family)
    with pytest.raises(UnsupportedExport, match=f"{family}.*gpt2.*llama.*qwen3") as refused:
        gguf_from_model(model, tokenizer, tmp_path / "m.gguf")
    assert ("gguf-lora" in str(refused.value)) == (family == "gemma2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("family", "setting", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("qwen3", "attention_bias", True),
        ("smollm3", "no_rope_layers", [1, 0, 1]),
        ("llama", "rope_parameters", {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    ],
)
def test_a_setting_that_llama_cpp_lacks_is_refused(family: str, setting: str, value: Any, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(family, **{setting: value})
    name = "rope_type" if setting == "rope_parameters" else setting
    with pytest.raises(UnsupportedExport, match=f"{name} = "):
        gguf_from_model(model, tokenizer, tmp_path / "m.gguf")
    assert list(tmp_path.iterdir()) == []
