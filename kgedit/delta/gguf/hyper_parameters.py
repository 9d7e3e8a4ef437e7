"""A model's settings under the keys of a GGUF file, after checks that llama.cpp computes what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta.gguf.families import GgufFamily, neighbours
from kgedit.errors import UnsupportedExport
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.sources.rope import llama3_divisors

_ACTIVATIONS = ("hidden_act", "activation_function")  # fields with the activation's name
_ROTATIONS = ("default", "linear", "llama3")


def check_computable(config: Any, row: GgufFamily) -> None:
    """Make sure that llama.cpp computes what the config says.

    Raises:
        UnsupportedExport: A field has a value that it has no setting for.
    """
    wanted = {name: row.activations for name in _ACTIVATIONS if hasattr(config, name)}
    wanted |= {name: (value,) for name, value in row.fixed.items() if hasattr(config, name)}
    for name, values in wanted.items():
        if (held := getattr(config, name)) not in values:
            raise _other(config, name, held, " or ".join(map(repr, values)))
    rotation = _rotation(config)
    if rotation["rope_type"] not in _ROTATIONS:
        raise _other(config, "rope_type", rotation["rope_type"], " or ".join(map(repr, _ROTATIONS)))
    partial = rotation.get("partial_rotary_factor", 1.0)
    if row.order is neighbours and partial != 1.0:
        raise _other(config, "partial_rotary_factor", partial, "1.0")
    skipping = getattr(config, "no_rope_layers", None)
    if skipping is not None and [bool(rotated) for rotated in skipping] != [
        (layer + 1) % 4 != 0 for layer in range(config.num_hidden_layers)
    ]:
        raise _other(config, "no_rope_layers", skipping, "every fourth layer")


def add_hyper_parameters(library: Any, writer: Any, model: PreTrainedModel, row: GgufFamily) -> None:
    """Add them to a `gguf.GGUFWriter`."""
    config: Any = model.config
    anatomy, heads = anatomy_of(model), int(config.num_attention_heads)
    width = _head_width(config)
    writer.add_context_length(_context(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(to_math(anatomy.weight(model, 0), anatomy.conv1d).shape[1])
    writer.add_vocab_size(model.get_input_embeddings().num_embeddings)
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(getattr(config, "num_key_value_heads", None) or heads))
    writer.add_key_length(width)
    writer.add_value_length(width)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        names = ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps")
        writer.add_layer_norm_eps(next(getattr(config, name) for name in names if hasattr(config, name)))
    if getattr(config, "rope_parameters", None):
        rotation = _rotation(config)
        writer.add_rope_dimension_count(int(width * rotation.get("partial_rotary_factor", 1.0)))
        writer.add_rope_freq_base(float(rotation["rope_theta"]))
        if rotation["rope_type"] == "linear":
            writer.add_rope_scaling_type(library.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(float(rotation["factor"]))
    if hasattr(config, "use_parallel_residual"):
        writer.add_parallel_residual(bool(config.use_parallel_residual))
    for key, name in row.settings.items():
        writer.add_float32(f"{row.architecture}.{key}", float(getattr(config, name)))


def frequency_divisors(config: Any) -> Tensor | None:
    """By what llama.cpp divides each rotary frequency of a Llama 3.1 model, (head width / 2,); None for others."""
    rotation = _rotation(config)
    if rotation["rope_type"] != "llama3":
        return None
    divisors = llama3_divisors(
        float(rotation["rope_theta"]),
        _head_width(config) // 2,
        float(rotation["factor"]),
        low=float(rotation["low_freq_factor"]),
        high=float(rotation["high_freq_factor"]),
        original=int(rotation["original_max_position_embeddings"]),
    )
    return torch.tensor(divisors, dtype=torch.float32)


def _rotation(config: Any) -> Mapping[str, Any]:
    return {"rope_type": "default", **(getattr(config, "rope_parameters", None) or {})}


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _context(config: Any) -> int:
    """Longest text that both read alike: these architectures of llama.cpp look at all tokens, also beyond a window."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if not window or (kinds and "sliding_attention" not in kinds):
        return int(config.max_position_embeddings)
    return min(int(config.max_position_embeddings), int(window))


def _other(config: Any, name: str, held: Any, wanted: str) -> UnsupportedExport:
    return UnsupportedExport(
        f"this {config.model_type} model has {name} = {held!r}, where llama.cpp computes with {wanted}: it would say "
        "something else there. Export a checkpoint or a PEFT adapter instead"
    )
