"""Tensors with text fields in one safetensors file, sealed with a checksum over both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from kgedit.errors import FileCorrupt


def seal(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """Tensors (contiguous, on the CPU) with text fields as safetensors bytes."""
    return bytes(to_safetensors(dict(tensors), {**about, "sha256": _checksum(tensors, about)}))


def read_sealed(path: Path, remedy: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file of `seal`.

    Args:
        path: The file.
        remedy: What the user can do about a damaged one, e.g. "delete it and train anew".

    Raises:
        FileCorrupt: A byte of it has changed, or it is something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileCorrupt(f"{path} cannot be read ({error}); {remedy}") from error
    if about.pop("sha256", None) != _checksum(tensors, about):
        raise FileCorrupt(f"{path} is damaged: its checksum is wrong; {remedy}")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    checksum = hashlib.sha256(repr(sorted(about.items())).encode())
    for name in sorted(tensors):
        checksum.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        checksum.update(tensors[name].contiguous().numpy().data)
    return checksum.hexdigest()
