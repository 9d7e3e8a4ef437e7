"""A delta as a LoRA adapter in a GGUF file, which llama.cpp and Ollama put on the base model's own GGUF file.

llama.cpp adds scale * alpha / r * B (A x) to the output of a matrix. With A = left.T (r, d_in), B = right (d_out, r)
and alpha = r that is the delta itself. One alpha holds for the whole file, but r is read from each tensor: so all
updates are padded with zeros to the largest rank, which changes no number.

Format: the LoRA adapters of llama.cpp (https://github.com/ggml-org/llama.cpp), as its
converter writes and its loader reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from kgedit.delta.facts import facts_changed
from kgedit.delta.low_rank import LowRankDelta
from kgedit.delta.update import WeightUpdate
from kgedit.errors import UnsupportedExport
from kgedit.io.whole_file import whole_file
from kgedit.lm.base_name import base_name
from kgedit.lm.sources.gguf_file import gguf_library

# Families that llama.cpp calls otherwise than transformers does, as the converter of llama.cpp has them.
_ARCHITECTURES: Mapping[str, str] = {
    "cohere": "command-r",
    "gemma3_text": "gemma3",
    "gpt_neox": "gptneox",
    "hunyuan_v1_dense": "hunyuan-dense",
    "ministral3": "mistral3",
    "mistral": "llama",
    "olmo3": "olmo2",
    "phi": "phi2",
}
_NAMED_ONLY = ("gptj",)  # in the table of names, but llama.cpp cannot run it


def export_gguf_lora(delta: LowRankDelta, model: nn.Module, path: str | Path) -> Path:
    """Write a delta as a GGUF LoRA adapter for the unedited model.

    Args:
        delta: What to export; several edits as one through `compose`, or `DeltaStack.composed`.
        model: The model it belongs to, edited or not: only its config, names and shapes are read.
        path: File to write; one that is there is replaced.

    Returns:
        The file.

    Raises:
        UnsupportedExport: llama.cpp does not know the model's architecture, or an update is of a matrix that it may
            store with its rows in another order; see `TensorNames.placed`.
        UnsupportedModel, WrongBase: The delta does not fit the model.
        SaveFailed: The file cannot be written; what was there before is there still.
        MissingExtra: The package `gguf` is not installed.
    """
    library = gguf_library()
    for update in delta.updates:
        update.check_fits(model)
    config = getattr(model, "config", None)
    names = TensorNames(library, config)
    rank = delta.rank
    tensors: dict[str, Tensor] = {}
    for update in delta.updates:
        name, placed = names.placed(update)
        left, right = placed.padded(rank)
        tensors[f"{name}.lora_a"] = left.T  # (rank, d_in)
        tensors[f"{name}.lora_b"] = right  # (d_out, rank)
    target = Path(path)
    with whole_file(target) as beside:
        writer = library.GGUFWriter(beside, names.architecture)
        writer.add_type(library.GGUFType.ADAPTER)
        writer.add_string(library.Keys.Adapter.TYPE, "lora")
        writer.add_float32(library.Keys.Adapter.LORA_ALPHA, float(rank))
        _describe(writer, delta, model)
        for name, tensor in tensors.items():
            writer.add_tensor(name, np.ascontiguousarray(tensor.numpy(), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


class TensorNames:
    """What llama.cpp calls a model's architecture and tensors, by the tables of the `gguf` package."""

    def __init__(self, library: Any, config: Any) -> None:
        family = str(getattr(config, "model_type", "unknown"))
        source: Mapping[str, Any] = getattr(config, "gguf_source", None) or {}
        self.architecture = str(source.get("architecture") or _ARCHITECTURES.get(family, family))
        known = {name: key for key, name in library.MODEL_ARCH_NAMES.items()}
        if self.architecture not in known or self.architecture in _NAMED_ONLY:
            raise UnsupportedExport(
                f"llama.cpp has no architecture for the model family {family!r}; export a PEFT adapter instead, which "
                "transformers and vLLM load"
            )
        self._table = library.get_tensor_name_map(known[self.architecture], config.num_hidden_layers)
        kinds = library.MODEL_TENSOR
        self._as_they_are = {kinds.FFN_DOWN}
        self._heads: dict[Any, int] = {}  # of the matrices whose rows are turned round in each head
        if self.architecture == "llama":
            self._as_they_are |= {kinds.FFN_GATE, kinds.FFN_UP, kinds.ATTN_V, kinds.ATTN_OUT}
            queries = int(config.num_attention_heads)
            keys = int(getattr(config, "num_key_value_heads", None) or queries)
            self._heads = {kinds.ATTN_Q: queries, kinds.ATTN_K: keys}

    def placed(self, update: WeightUpdate) -> tuple[str, WeightUpdate]:
        """The name of the tensor that an update changes ("blk.5.ffn_down.weight"), and the update as it stands there.

        A llama model's rotary positions turn the first half of a head's numbers with its second half; llama.cpp
        turns neighbours, so its converter deals the rows of queries and keys out in turn from the two halves.

        Raises:
            UnsupportedExport: It is neither the second matrix of an MLP nor a matrix of a llama model's block.
        """
        kind, name = self._table.get_type_and_name(update.name, try_suffixes=(".weight",)) or (None, "")
        if kind in self._heads:
            right = update.right.reshape(self._heads[kind], 2, -1, update.rank)  # (heads, 2, d_head / 2, r)
            return str(name), replace(update, right=right.transpose(1, 2).reshape(update.right.shape))
        if kind not in self._as_they_are:
            raise UnsupportedExport(
                f"{update.name} is a matrix that llama.cpp may store with its rows in another order in a "
                f"{self.architecture} model; export a PEFT adapter instead"
            )
        return str(name), update


def _describe(writer: Any, delta: LowRankDelta, model: nn.Module) -> None:
    """Metadata for people and tools: the base model, the delta, and the facts that it changes."""
    facts = facts_changed(delta)
    source: Mapping[str, Any] = getattr(getattr(model, "config", None), "gguf_source", None) or {}
    base = source.get("name") or base_name(model)
    writer.add_name(f"{len(facts)} changed facts" if len(facts) != 1 else f"changed: {facts[0]}")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base or "unknown")
    writer.add_string("kgedit.version", version("kgedit"))
    writer.add_string("kgedit.delta", delta.id)
    writer.add_string("kgedit.base_weights_sha256", delta.base_hash)
    writer.add_string("kgedit.base_file", str(source.get("file", "")))
    writer.add_string("kgedit.base_file_sha256", str(source.get("sha256", "")))
    writer.add_array("kgedit.facts", facts)
