"""The model families that llama.cpp can be given from a Hugging Face model: a table.

A row says what differs between the two: the name, the order of the rows of queries and keys, and the settings that
have no name in common. Every row is compared with llama.cpp's own results in tests/delta/test_gguf_from_model.py.

Order of rows: a rotary position turns pairs of a head's numbers. transformers pairs the first half of a head with the
second. llama.cpp does so too in the families that it calls NEOX; in those that it calls NORM it pairs neighbours, so
that there the rows of queries and keys are dealt out in turn from the two halves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# (kind of tensor, as the `gguf` package names it; number of its rows; config) -> row numbers in llama.cpp's order
Order = Callable[[str, int, Any], Tensor | None]


@dataclass(frozen=True, slots=True)
class GgufFamily:
    """One row of the table.

    Attributes:
        architecture: `general.architecture`.
        order: Which of the model's rows stands where, None where they stay as they are.
        activations: The values of the config's activation that llama.cpp computes; it knows one per architecture.
        fixed: Fields of the config that llama.cpp has no setting for -> the value that it computes with.
        settings: Keys of the file, without the architecture -> field of the config with a number.
        norm_offset: What the model adds to the weights of its norms.
    """

    architecture: str
    order: Order
    activations: tuple[str, ...] = ("silu", "swish")
    fixed: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    norm_offset: float = 0.0


def as_they_are(kind: str, rows: int, config: Any) -> Tensor | None:
    """Rows keep their places."""
    return None


def neighbours(kind: str, rows: int, config: Any) -> Tensor | None:
    """Queries and keys: in each head a row of the first half, its partner of the second half, and so on."""
    if kind not in ("ATTN_Q", "ATTN_K"):
        return None
    queries = int(config.num_attention_heads)
    heads = queries if kind == "ATTN_Q" else int(getattr(config, "num_key_value_heads", None) or queries)
    return torch.arange(rows).reshape(heads, 2, -1).transpose(1, 2).reshape(-1)


def all_queries_first(kind: str, rows: int, config: Any) -> Tensor | None:
    """One matrix of query, key and value of each head in turn: the queries of all heads, then keys, then values."""
    if kind != "ATTN_QKV":
        return None
    return torch.arange(rows).reshape(int(config.num_attention_heads), 3, -1).transpose(0, 1).reshape(-1)


_TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate")
_NO_BIAS = {"attention_bias": False, "mlp_bias": False}

GGUF_FAMILIES: Mapping[str, GgufFamily] = {
    "arcee": GgufFamily("arcee", neighbours, activations=("relu2",), fixed=_NO_BIAS),
    "gpt2": GgufFamily(
        "gpt2",
        as_they_are,
        activations=_TANH,
        fixed={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False},
    ),
    # llama.cpp takes the tangent's approximation of GELU for the exact one, too.
    "gpt_neox": GgufFamily("gptneox", all_queries_first, activations=(*_TANH, "gelu"), fixed={"attention_bias": True}),
    "granite": GgufFamily(
        "granite",
        neighbours,
        fixed=_NO_BIAS,
        settings={
            "attention.scale": "attention_multiplier",
            "embedding_scale": "embedding_multiplier",
            "residual_scale": "residual_multiplier",
            "logit_scale": "logits_scaling",
        },
    ),
    "llama": GgufFamily("llama", neighbours),
    "mistral": GgufFamily("llama", neighbours),
    "olmo2": GgufFamily("olmo2", as_they_are, fixed=_NO_BIAS),
    "phi": GgufFamily("phi2", as_they_are, activations=_TANH, fixed={"qk_layernorm": False}),
    "qwen2": GgufFamily("qwen2", as_they_are),
    "qwen3": GgufFamily("qwen3", as_they_are, fixed=_NO_BIAS),
    "smollm3": GgufFamily("smollm3", neighbours, fixed={**_NO_BIAS, "no_rope_layer_interval": 4}),
    "starcoder2": GgufFamily("starcoder2", as_they_are, activations=_TANH, fixed={"use_bias": True}),
}
"""Hugging Face `config.model_type` -> its row."""
