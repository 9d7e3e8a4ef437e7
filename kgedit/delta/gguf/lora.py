"""A delta as a LoRA adapter in a GGUF file, which llama.cpp and Ollama put on the base model's own GGUF file.

llama.cpp adds scale * alpha / r * B (A x) to the output of a matrix. With A = left.T (r, d_in), B = right (d_out, r)
and alpha = r that is the delta itself. One alpha holds for the whole file, but r is read from each tensor: so all
updates are padded with zeros to the largest rank, which changes no number.

Format: the LoRA adapters of llama.cpp (https://github.com/ggml-org/llama.cpp), as its
converter writes and its loader reads them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from kgedit.delta.facts import facts_changed
from kgedit.delta.gguf.about import describe_base, describe_delta
from kgedit.delta.gguf.names import TensorNames
from kgedit.delta.low_rank import LowRankDelta
from kgedit.io.whole_file import whole_file
from kgedit.lm.sources.gguf_file import gguf_library


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
        facts = facts_changed(delta)
        writer.add_name(f"{len(facts)} changed facts" if len(facts) != 1 else f"changed: {facts[0]}")
        describe_base(writer, model)
        describe_delta(writer, delta)
        for name, tensor in tensors.items():
            writer.add_tensor(name, np.ascontiguousarray(tensor.numpy(), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target
