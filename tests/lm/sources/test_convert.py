"""A GGUF file becomes the model that it holds, once; what cannot be read or edited is one clear error."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from kgedit.errors import FileCorrupt, SaveFailed, UnknownModel, UnsupportedModel
from kgedit.lm.load import load_model
from kgedit.lm.sources import convert
from kgedit.lm.sources.local import local_source
from kgedit.lm.sources.rope import llama3_divisors
from llama_cpp import LlamaCpp
from tiny_gguf import write_tiny_llama, write_tiny_stablelm


@pytest.fixture
def tiny(own_cache: Path, tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file)
    return file


def furthest_logprob(model: PreTrainedModel, ids: list[int], file: Path) -> float:
    """Largest difference between the model's log-probabilities and those of llama.cpp, over the vocabulary."""
    with torch.no_grad():
        mine = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    theirs = LlamaCpp(file).logprobs(ids, len(mine))
    assert len(theirs) == len(mine)
    return max(abs(float(mine[token]) - value) for token, value in theirs.items())


def test_the_weights_are_those_of_the_file(tiny: Path) -> None:
    expected = dict(write_tiny_llama(tiny).named_parameters())
    model, tokenizer = load_model(str(tiny))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    assert tokenizer.chat_template
    assert model.config.gguf_source["licence"] == "Apache-2.0"


def test_the_probabilities_are_those_of_llama_cpp(tiny: Path) -> None:
    model, tokenizer = load_model(str(tiny))
    assert furthest_logprob(model, tokenizer("Albert Einstein was born in Ulm").input_ids, tiny) < 1e-4


def test_scaled_rotary_frequencies_of_llama_3_are_carried_over(tmp_path: Path) -> None:
    divisors = llama3_divisors(10000.0, 8, 8.0).astype(np.float32)
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file, tensors={"rope_freqs.weight": divisors})
    model, tokenizer = load_model(local_source(str(file), tmp_path))
    assert model.config.rope_parameters["rope_type"] == "llama3"
    ids = tokenizer("The capital of France is Paris, and the capital of Japan is Tokyo.").input_ids
    assert furthest_logprob(model, ids, file) < 1e-4


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_of_each_head_the_part_is_turned_that_the_file_says(share: float, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_tiny_stablelm(file, share=share)
    model, tokenizer = load_model(local_source(str(file), tmp_path))
    assert furthest_logprob(model, tokenizer("Albert Einstein was born in Ulm").input_ids, file) < 1e-4


def test_a_file_is_converted_once_and_known_by_its_content(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tiny.parent / "cache"
    first = local_source(str(tiny), cache)
    renamed = tiny.rename(tiny.parent / "other.gguf")

    def never(*args: object) -> None:
        raise AssertionError("converted twice")

    monkeypatch.setattr(convert, "_loaded", never)
    assert local_source(str(renamed), cache) == first


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.2, 0.9, 0.9999])
def test_a_file_that_was_cut_short_is_named_so(tiny: Path, share: float) -> None:
    whole = tiny.read_bytes()
    tiny.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FileCorrupt, match="tiny.gguf"):
        load_model(str(tiny))
    assert not list((tiny.parent / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(("head", "says"), [(b"PK\x03\x04", "zip"), (b"version https", "LFS"), (b"abcdef", "abcd")])
def test_a_renamed_file_is_told_from_a_gguf_file(tmp_path: Path, head: bytes, says: str) -> None:
    (tmp_path / "model.gguf").write_bytes(head)
    with pytest.raises(FileCorrupt, match=says):
        load_model(str(tmp_path / "model.gguf"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"architecture": "martian"}, "martian"),
        ({"architecture": "qwen2moe", "settings": {"qwen2moe.expert_count": 4}}, "'qwen2moe', is a mixture"),
        ({"settings": {"llama.expert_count": 8}}, r"tiny.gguf, of the .* 'llama', is a mixture of experts \(8 in a"),
        ({"settings": {"general.type": "adapter"}}, "adapter"),
        ({"settings": {"split.count": 3}}, "3 parts"),
        ({"settings": {"llama.rope.scaling.type": "yarn"}}, "yarn"),
        ({"leave_out": "blk.1.ffn_down.weight"}, "lacks"),
        ({"tensors": {"blk.0.attn_q.bias": np.ones(64, dtype=np.float32)}}, "would be lost"),
        ({"tensors": {"rope_freqs.weight": np.full(8, 3.0, dtype=np.float32)}}, "unknown kind"),
        ({"settings": {"llama.block_count": 0}}, "num_hidden_layers = 0"),
        ({"settings": {"llama.block_count": 1_000_000}}, "num_hidden_layers = 1000000"),
        ({"settings": {"llama.block_count": "two"}}, "metadata may be damaged"),
        ({"settings": {"llama.embedding_length": 2**31}}, "its config means .* weights"),
        ({"settings": {"llama.attention.head_count": 0}}, "metadata may be damaged"),
        ({"settings": {"tokenizer.ggml.model": "martian"}}, "martian"),
        ({"settings": {"tokenizer.ggml.bos_token_id": 2**31}}, "metadata may be damaged"),
    ],
)
def test_what_cannot_be_read_or_edited_is_refused(tmp_path: Path, given: dict[str, object], says: str) -> None:
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file, **given)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModel, match=says):
        local_source(str(file), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_damaged_folder_in_the_cache_says_how_it_is_made_anew(tiny: Path) -> None:
    load_model(str(tiny))
    (weights,) = (tiny.parent / "cache").rglob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(UnknownModel, match=f"weights in {weights.parent} are damaged .* Delete {weights.parent}"):
        load_model(str(tiny))
    shutil.rmtree(weights.parent)
    load_model(str(tiny))


def test_a_cache_that_cannot_be_written_is_one_clear_error(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveFailed, match="could not be written"):
        local_source(str(tiny), tmp_path / "file")
