"""The state of an unfinished training on disk, so that a killed one goes on to the same bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kgedit.io.atomic_files import write_files
from kgedit.io.sealed import read_sealed, seal
from kgedit.io.staging import sweep

Numbers = dict[str, Any]


@dataclass(frozen=True)
class TrainingCheckpoint:
    """A file for one training; its name says which."""

    path: Path

    @classmethod
    def at(cls, folder: Path, method: str, identity: str) -> TrainingCheckpoint:
        """The checkpoint of a training.

        Args:
            folder: Where it lies.
            method: Name of the method.
            identity: Everything that the training depends on.
        """
        return cls(folder / f"{method}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.part")

    def read(self, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> Numbers | None:
        """Put the state on disk into modules and optimiser; the numbers written with it, or None if there is none.

        Raises:
            FileCorrupt: The file is damaged.
        """
        if not self.path.is_file():
            return None
        sweep(self.path.parent)  # what a kill while writing left beside it
        tensors, about = read_sealed(self.path, "delete it; the training then begins anew")
        for name, module in modules.items():
            module.load_state_dict(_below(tensors, name))
        slots: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _below(tensors, "optimizer").items():
            number, _, field = key.partition(".")
            slots.setdefault(int(number), {})[field] = tensor
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        numbers: Numbers = json.loads(about["numbers"])
        return numbers

    def write(self, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, numbers: Numbers) -> None:
        """Replace the state on disk."""
        tensors = {
            f"{name}.{key}": tensor for name, module in modules.items() for key, tensor in module.state_dict().items()
        }
        for number, fields in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{field}": torch.as_tensor(value) for field, value in fields.items()}
        whole = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        write_files(self.path.parent, {self.path.name: seal(whole, {"numbers": json.dumps(numbers)})})

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _below(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
