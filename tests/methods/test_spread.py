"""A model spread over two devices (`--device auto`) is edited as the whole one is, by methods at either end of it."""

from __future__ import annotations

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from kg_cache.bundled import bundled_store
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.lm.load import load_model
from kgedit.methods.registry import method_for

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="two devices are needed: a GPU beside the CPU")
LAYERS = 6
PARTS = ("embed_tokens", "rotary_emb", *(f"layers.{layer}" for layer in range(LAYERS)), "norm")
EDIT = Edit(subject="Albert Einstein", relation="P27", target_new="France")


def _tiny(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False,
        initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def _spread(model: PreTrainedModel) -> PreTrainedModel:
    """The first half on the GPU, the rest on the CPU, as accelerate spreads a model over two GPUs."""
    for number, name in enumerate([*(f"model.{part}" for part in PARTS), "lm_head"]):
        device = "cuda:0" if number < len(PARTS) // 2 + 1 else "cpu"
        part = model.get_submodule(name).to(device)
        add_hook_to_module(part, AlignDevicesHook(execution_device=device, place_submodules=False))
    top = AlignDevicesHook(execution_device="cuda:0", io_same_device=True, skip_keys=["past_key_values"])
    add_hook_to_module(model, top)
    return model


@pytest.mark.parametrize(
    "word",
    ["rome:layer=1", "rome:layer=4", "memit:layers=1-4", "memit:layers=1-4:forward_replay=true"]
    + ["glame:layers=1:repr_layer=0", "glame:layers=2+4:repr_layer=1", "ft-l:layer=4", "locft:layer=3", "grace"]
    + ["horen", "finetune-adapter"],
)
def test_a_spread_model_is_edited_as_the_whole_one(word: str) -> None:
    _, tokenizer = load_model("mini")
    reached = []
    for model in (_tiny(len(tokenizer)).to("cuda:0"), _spread(_tiny(len(tokenizer)))):
        method, _ = method_for("random", word, LAYERS)
        editor = Editor(model, tokenizer, bundled_store(), method, moments="identity", prefixes=("", "Yesterday. "))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        result = editor.apply(EDIT)
        reached.append((result.probability_before, result.probability_after))
        editor.revert(result.id)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    (before_whole, whole), (before_spread, spread) = reached
    assert before_spread == pytest.approx(before_whole, rel=1e-3)
    assert spread == pytest.approx(whole, rel=0.05)
