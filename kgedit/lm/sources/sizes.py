"""Sizes that a model's config gives, held against the weights that there are, before anything is laid out.

transformers makes a model of any size that a config asks for, and fills what no file holds with random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx")
_MOST_POSITIONS = 2**24  # the longest known context has 10 million tokens


def check_counts(config: Mapping[str, Any], tensors: int) -> None:
    """Sizes for which a model could not be laid out at all, not even without its weights.

    Args:
        config: The config as plain data.
        tensors: How many tensors the weights have.

    Raises:
        ValueError: A number of layers or positions is senseless.
    """
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for name, value in part.items():
            most = tensors if name in _LAYER_COUNTS else _MOST_POSITIONS if name in _POSITIONS else 2**63 - 1
            least = 1 if name in (*_LAYER_COUNTS, *_POSITIONS) else -(2**63)
            if isinstance(value, int | float) and not least <= value <= most:
                raise ValueError(
                    f"its config has {name} = {value}, which is senseless for weights of {tensors} tensors."
                )


def check_size(config: PreTrainedConfig, stored: int, *, trust_remote_code: bool = False) -> None:
    """Refuse a config that means far more weights than there are.

    Args:
        config: The config, after `check_counts`.
        stored: How many numbers the weights have.
        trust_remote_code: Whether the model's own Python may lay it out.

    Raises:
        ValueError: It does.
    """
    with torch.device("meta"):
        laid_out = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)  # type: ignore[no-untyped-call]
    meant = sum(parameter.numel() for parameter in laid_out.parameters())
    if meant > 2 * stored:  # one of them may serve in two places
        raise ValueError(f"its config means {meant:,} weights, its files have another shape: they hold {stored:,}.")
