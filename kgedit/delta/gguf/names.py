"""What llama.cpp calls a model's architecture and tensors, and in which order it has their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from kgedit.delta.gguf.families import GGUF_FAMILIES
from kgedit.delta.update import WeightUpdate
from kgedit.errors import UnsupportedExport

# Families whose tensors are known by name alone, where llama.cpp calls them otherwise than transformers does.
_ARCHITECTURES: Mapping[str, str] = {
    "cohere": "command-r",
    "gemma3_text": "gemma3",
    "hunyuan_v1_dense": "hunyuan-dense",
    "ministral3": "mistral3",
    "olmo3": "olmo2",
}
_NAMED_ONLY = ("gptj",)  # in the table of names, but llama.cpp cannot run it


class TensorNames:
    """The names by the tables of the `gguf` package, the order of rows by our table of families.

    Attributes:
        architecture: What llama.cpp calls the family.
        row: Its row in the table; None where only names are known, not the order of rows.
    """

    def __init__(self, library: Any, config: Any) -> None:
        """Find the architecture.

        Raises:
            UnsupportedExport: llama.cpp has none for this model.
        """
        self.family = str(getattr(config, "model_type", "unknown"))
        source: Mapping[str, Any] = getattr(config, "gguf_source", None) or {}
        row = GGUF_FAMILIES.get(self.family)
        named = row.architecture if row else _ARCHITECTURES.get(self.family, self.family)
        self.architecture = str(source.get("architecture") or named)
        self.row = row if named == self.architecture else None
        self._config = config
        known = {name: key for key, name in library.MODEL_ARCH_NAMES.items()}
        if self.architecture not in known or self.architecture in _NAMED_ONLY:
            raise UnsupportedExport(
                f"llama.cpp has no architecture for the model family {self.family!r}; export a PEFT adapter instead, "
                "which transformers and vLLM load"
            )
        self._table = library.get_tensor_name_map(known[self.architecture], config.num_hidden_layers)

    def find(self, parameter: str) -> tuple[str, str]:
        """Kind ("FFN_DOWN") and name ("blk.5.ffn_down.weight") of a parameter's tensor; empty where it has none."""
        kind, name = self._table.get_type_and_name(parameter, try_suffixes=(".weight", ".bias")) or (None, "")
        return ("" if kind is None else str(kind.name)), str(name)

    def order(self, kind: str, rows: int) -> Tensor | None:
        """Which of the model's rows stands where, (rows,); None where they stay as they are."""
        return self.row.order(kind, rows, self._config) if self.row else None

    def placed(self, update: WeightUpdate) -> tuple[str, WeightUpdate]:
        """The name of the tensor that an update changes, and the update as it stands there.

        Raises:
            UnsupportedExport: It is not the second matrix of an MLP, nor of a family whose order of rows is known.
        """
        kind, name = self.find(update.name)
        if not name or (self.row is None and kind != "FFN_DOWN"):
            raise UnsupportedExport(
                f"{update.name} is a matrix that llama.cpp may store with its rows in another order in a "
                f"{self.architecture} model; export a PEFT adapter instead"
            )
        order = self.order(kind, update.right.shape[0])
        return name, update if order is None else replace(update, right=update.right[order])
