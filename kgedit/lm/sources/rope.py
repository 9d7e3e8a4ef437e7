"""Rotary frequencies of a GGUF file that are not the plain ones: set in the config, or refused.

Llama 3.1 and later stretch the low frequencies; a GGUF file holds the divisors as a tensor, transformers computes them
from four numbers of the config. They are found here by trying the published ones.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from kgedit.errors import UnsupportedModel
from kgedit.lm.sources.gguf_file import field

ROPE_FREQUENCIES = ("rope_freqs.weight",)
_LOW, _HIGH, _ORIGINAL = 1.0, 4.0, 8192  # the same in Llama 3.1, 3.2 and 3.3; the factor is 8 or 32


def rope_parameters(path: Path, reader: Any) -> dict[str, Any] | None:
    """The `rope_parameters` that the config needs, or None where the plain ones are right.

    Raises:
        UnsupportedModel: The file scales its rotary positions in another way.
    """
    architecture = field(reader, "general.architecture")
    scaling = field(reader, f"{architecture}.rope.scaling.type", "none")
    long_short = [tensor.name for tensor in reader.tensors if tensor.name.startswith("rope_factors")]
    if scaling != "none" or long_short:
        raise UnsupportedModel(
            f"{path} scales its rotary positions ({long_short[0] if long_short else scaling}), which is not carried "
            "over from a GGUF file; use the model's own folder from the hub"
        )
    divisors = next((tensor.data for tensor in reader.tensors if tensor.name in ROPE_FREQUENCIES), None)
    if divisors is None:
        return None
    divisors = np.asarray(divisors, dtype=np.float64).reshape(-1)  # (head width / 2,)
    theta = float(field(reader, f"{architecture}.rope.freq_base", 10000.0))
    factor = float(divisors.max())
    if np.allclose(divisors, 1.0):
        return None
    if not np.allclose(divisors, llama3_divisors(theta, len(divisors), factor), rtol=1e-3):
        raise UnsupportedModel(f"{path} holds rotary frequencies of an unknown kind; use its folder from the hub")
    return {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": factor,
        "low_freq_factor": _LOW,
        "high_freq_factor": _HIGH,
        "original_max_position_embeddings": _ORIGINAL,
    }


def rotary_share(reader: Any, config: Any) -> float | None:
    """Which part of each head a file turns by position; None where the file or the family does not say.

    Args:
        reader: The `gguf.GGUFReader` on the file.
        config: What transformers makes of it, with the part that is usual in the family.
    """
    turned = field(reader, f"{field(reader, 'general.architecture')}.rope.dimension_count")
    if turned is None or "partial_rotary_factor" not in (getattr(config, "rope_parameters", None) or {}):
        return None
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return float(turned / width)


def llama3_divisors(
    theta: float, count: int, factor: float, *, low: float = _LOW, high: float = _HIGH, original: int = _ORIGINAL
) -> np.ndarray[Any, Any]:
    """By what each frequency is divided, (count,), as in transformers' `rope_type` "llama3".

    Args:
        theta: Base of the frequencies.
        count: How many there are, half of a head's width.
        factor: Largest divisor.
        low: `low_freq_factor`.
        high: `high_freq_factor`.
        original: Length of the texts before the context was stretched, in tokens.
    """
    found = []
    for index in range(count):
        wavelength = 2 * math.pi * theta ** (index / count)
        if wavelength < original / high:
            found.append(1.0)
        elif wavelength > original / low:
            found.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found)
