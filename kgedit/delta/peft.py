"""A delta as a PEFT LoRA adapter: the same numbers under other names, for any tool that loads LoRA.

LoRA adds scale * B @ A to a weight. With A = left.T (r, d_in), B = right (d_out, r) and scale = alpha / r = 1
that is the delta itself: nothing is decomposed or approximated. All updates are padded with zeros to one rank, so that
readers which know a single rank and alpha scale none of them wrongly. peft is not needed to write an adapter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from kgedit.delta.update import WeightUpdate
from kgedit.delta.weights import parent_module
from kgedit.errors import UnsupportedExport
from kgedit.io.atomic_files import write_files
from kgedit.lm.base_name import base_name

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"  # names that peft looks for
ORIGIN = "kgedit_delta"  # in the metadata of the file: id of the delta; peft ignores it


def write_adapter(
    updates: Sequence[WeightUpdate], model: nn.Module, directory: Path, origin: Mapping[str, str]
) -> Path:
    """Write updates as a LoRA adapter that `peft.PeftModel.from_pretrained(model, directory)` loads.

    Args:
        updates: What to export, at most one per weight.
        model: The model they belong to, edited or not: only names, shapes and layer types are read. The
            adapter is meant for the unedited one.
        directory: Folder to write into; an adapter that is there is replaced.
        origin: Where the numbers come from, for the metadata of the file.

    Returns:
        The folder.

    Raises:
        UnsupportedExport: A layer is of a kind that LoRA does not know, or they are of both orientations.
        UnsupportedModel: A weight is missing or cannot be edited.
        WrongBase: A weight has another shape.
        SaveFailed: The folder cannot be written; it is as before then.
    """
    for update in updates:
        update.check_fits(model)
        kind = type(parent_module(model, update.name)).__name__
        if not update.name.endswith(".weight") or kind not in ("Linear", "Conv1D"):
            raise UnsupportedExport(
                f"{update.name} belongs to a {kind}; LoRA adapters hold changes of the weight of Linear and "
                "Conv1D layers only. Keep the edit as a delta (save), or save the edited model."
            )
    if len({update.conv1d for update in updates}) > 1:
        raise UnsupportedExport(
            "the delta changes Linear and Conv1D layers, which one LoRA adapter cannot describe; "
            "export them as separate adapters."
        )
    write_files(
        directory,
        {
            WEIGHTS: safetensors.torch.save(_tensors(updates), metadata={"format": "pt", **origin}),
            CONFIG: json.dumps(_config(updates, base_name(model)), indent=2, sort_keys=True).encode(),
        },
    )
    return directory


def adapter_origin(directory: Path) -> str | None:
    """Id of the delta that the adapter in a folder was written from; None where there is none of kgedit's."""
    try:
        with safe_open(directory / WEIGHTS, "pt") as file:
            return (file.metadata() or {}).get(ORIGIN)
    except (OSError, SafetensorError):
        return None


def is_adapter_of(updates: Sequence[WeightUpdate], directory: Path) -> bool:
    """Whether a folder holds these updates as `write_adapter` writes them, whatever the base model is called."""
    try:
        found = safetensors.torch.load_file(directory / WEIGHTS)
        config = json.loads((directory / CONFIG).read_bytes())
        base = config["base_model_name_or_path"]
    except (OSError, SafetensorError, ValueError, RecursionError, TypeError, KeyError):
        return False
    tensors = _tensors(updates)
    same = found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in tensors)
    return same and config == _config(updates, base)


def _tensors(updates: Sequence[WeightUpdate]) -> dict[str, Tensor]:
    """The factors under the names that peft gives them."""
    rank = max(update.rank for update in updates)
    tensors = {}
    for update in updates:
        left, right = update.padded(rank)
        prefix = f"base_model.model.{_module(update)}"
        tensors[f"{prefix}.lora_A.weight"] = left.T.contiguous()  # (rank, d_in)
        tensors[f"{prefix}.lora_B.weight"] = right  # (d_out, rank)
    return tensors


def _module(update: WeightUpdate) -> str:
    return update.name.removesuffix(".weight")


def _config(updates: Sequence[WeightUpdate], base: str | None) -> dict[str, Any]:
    """What peft needs to know, with exact module names, one rank for all and a scale of 1."""
    rank = max(update.rank for update in updates)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "fan_in_fan_out": updates[0].conv1d,
        "target_modules": sorted(map(_module, updates)),
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
    }
