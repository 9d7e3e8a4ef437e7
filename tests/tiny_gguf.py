"""A tiny random llama as a GGUF file, with its tokenizer, written by the tests themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from families import tiny_model, tiny_tokenizer

_BLOCK = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

_MORE_PIECES = ("▁▁", "▁▁▁▁", "▁▁▁", "aa", "aaa", "ll", "<think>", "      ")  # beside those of `tiny_tokenizer`


def write_tiny_llama(
    path: Path,
    *,
    split: str = "smollm",
    bos: bool = False,
    architecture: str = "llama",
    tensors: dict[str, np.ndarray[Any, Any]] | None = None,
    settings: dict[str, Any] | None = None,
    leave_out: str | None = None,
    sentencepiece: bool = False,
) -> PreTrainedModel:
    """Write the file, and return the model that it holds.

    Args:
        path: File to write.
        split: `tokenizer.ggml.pre`.
        bos: Every text begins with "<s>".
        architecture: `general.architecture`.
        tensors: More tensors.
        settings: More metadata, or other values of it (None: the file has none); strings, whole numbers, yes or no.
        leave_out: A tensor that the file lacks.
        sentencepiece: The vocabulary is one of SentencePiece, with byte tokens, runs of spaces and "<think>".
    """
    gguf = pytest.importorskip("gguf")
    # Rows of 64 and 96 fit blocks of 32; llama.cpp wants that of a quantised matrix.
    sizes = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    tokenizer = tiny_tokenizer("sentencepiece" if sentencepiece else "bytelevel")
    vocab = tokenizer.get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    if sentencepiece:
        tokens += [piece for piece in _MORE_PIECES if piece not in vocab]
    model, _ = tiny_model("llama", tie_word_embeddings=True, vocab_size=len(tokens), **sizes)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("model")
    writer.add_name("Tiny Random")
    writer.add_license("Apache-2.0")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if sentencepiece:
        _add_sentencepiece(writer, tokens)
    else:
        _add_byte_level(writer, tokenizer, tokens, split)
    _add_special_tokens(writer, tokenizer, bos)
    for key, value in (settings or {}).items():
        writer.kv_data[0].pop(key, None)
        if value is not None:
            kinds = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}
            kinds[type(value)](key, value)
    named = {name: value for name, value in _named(model).items() if name != leave_out}
    for name, value in {**named, **(tensors or {})}.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def write_tiny_stablelm(path: Path, *, share: float) -> None:
    """A StableLM of which a share of each head is turned by position."""
    gguf = pytest.importorskip("gguf")
    tokenizer = tiny_tokenizer()
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": len(tokens)}
    model, _ = tiny_model("stablelm", partial_rotary_factor=share, **sizes)
    config = model.config
    writer = gguf.GGUFWriter(path, "stablelm")
    writer.add_name("Tiny Random")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(int(config.hidden_size // config.num_attention_heads * share))
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_parallel_residual(False)
    writer.add_vocab_size(config.vocab_size)
    _add_byte_level(writer, tokenizer, tokens, "smollm")
    _add_special_tokens(writer, tokenizer, False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.STABLELM, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(module)}.{kind}", value.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _named(model: PreTrainedModel) -> dict[str, np.ndarray[Any, Any]]:
    config, state = model.config, model.state_dict()
    named = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for theirs, name in _BLOCK.items():
            value = state[f"model.layers.{layer}.{theirs}.weight"]
            if name == "attn_q":
                value = _interleaved(value, config.num_attention_heads)
            elif name == "attn_k":
                value = _interleaved(value, config.num_key_value_heads)
            named[f"blk.{layer}.{name}.weight"] = value
    return {name: value.float().contiguous().numpy() for name, value in named.items()}


def _interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows in the order of llama.cpp: the two halves of each head's rotary pairs side by side."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _add_byte_level(writer: Any, tokenizer: Any, tokens: list[str], split: str) -> None:
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in tokenizer.all_special_tokens else 1 for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])


def _add_sentencepiece(writer: Any, tokens: list[str]) -> None:
    """Pieces as SentencePiece keeps them: each with a score, the higher the earlier it is merged, and a type."""
    types = {"<unk>": 2, "<s>": 3, "</s>": 3, "<pad>": 3, "<think>": 4, "      ": 4}
    types |= {f"<0x{byte:02X}>": 6 for byte in range(256)}
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0 if token in types else -float(i) for i, token in enumerate(tokens)])
    writer.add_token_types([types.get(token, 1) for token in tokens])


def _add_special_tokens(writer: Any, tokenizer: Any, bos: bool) -> None:
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_unk_token_id(tokenizer.unk_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(bos)
    writer.add_chat_template(
        "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant:{% endif %}"
    )
