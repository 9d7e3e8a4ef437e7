"""A delta on disk: `manifest.json`, which says everything, and one safetensors file with the factors.

The tensor file is named after the delta's id and the manifest is renamed into place last, so replacing a
saved delta is one step: until then the old pair stays valid. Nothing that is read can run code or reach
beyond the folder; every byte is covered by a hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from safetensors import SafetensorError

from kgedit.delta.update import WeightUpdate
from kgedit.errors import EditDiverged, FileCorrupt
from kgedit.io.atomic_files import is_plain_name, write_files

MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 64 * 2**20  # bytes; real ones are a few kB
_HASH = r"^[0-9a-f]{64}$"


class _UpdateRow(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    conv1d: bool
    d_in: int
    d_out: int
    rank: int


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["kgedit-delta"]
    version: Literal[1]
    id: str = Field(pattern=_HASH)
    base_hash: str
    tensors: str
    tensors_sha256: str = Field(pattern=_HASH)
    updates: list[_UpdateRow]
    manifest: dict[str, JsonValue]
    checksum: str = Field(default="", description="SHA-256 of all other fields as canonical JSON")

    def expected_checksum(self) -> str:
        body = json.dumps(self.model_dump(exclude={"checksum"}), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()


class StoredDelta(NamedTuple):
    """The parts of a `LowRankDelta` that are written."""

    id: str
    base_hash: str
    updates: tuple[WeightUpdate, ...]
    manifest: dict[str, Any]


def save_stored(delta: StoredDelta, directory: Path) -> None:
    """Write a delta into a folder, replacing one that is there; all or nothing.

    Raises:
        SaveFailed: The disk is full or the folder cannot be written; it is as before then.
        ValueError: The manifest could be written but never read again.
    """
    tensors = {}
    for index, update in enumerate(delta.updates):
        tensors[f"{index}.left"] = update.left  # (d_in, r)
        tensors[f"{index}.right"] = update.right  # (d_out, r)
    data = safetensors.torch.save(tensors, metadata={"base_hash": delta.base_hash})
    rows = [
        _UpdateRow(name=u.name, conv1d=u.conv1d, d_in=u.left.shape[0], d_out=u.right.shape[0], rank=u.rank)
        for u in delta.updates
    ]
    manifest = _Manifest(
        format="kgedit-delta",
        version=1,
        id=delta.id,
        base_hash=delta.base_hash,
        tensors=f"delta-{delta.id[:16]}.safetensors",
        tensors_sha256=hashlib.sha256(data).hexdigest(),
        updates=rows,
        manifest=delta.manifest,
    )
    manifest.checksum = manifest.expected_checksum()
    text = json.dumps(manifest.model_dump(), indent=1, ensure_ascii=False).encode()
    _Manifest.model_validate_json(text)  # such as nesting too deep to be read again
    replaced = _tensor_file_in(directory)
    write_files(directory, {manifest.tensors: data, MANIFEST: text})
    if replaced is not None and replaced != manifest.tensors:
        (directory / replaced).unlink(missing_ok=True)


def load_stored(directory: Path) -> StoredDelta:
    """Read what `save_stored` wrote; whether the id fits the content is for the caller to check.

    Raises:
        FileCorrupt: Something is missing, damaged, forged or of a newer version.
    """
    found = _read_manifest(directory)
    if not is_plain_name(found.tensors):
        raise _corrupt(directory, f"its manifest names a tensor file outside the folder: {found.tensors!r}")
    try:
        data = (directory / found.tensors).read_bytes()
    except OSError as error:
        raise _corrupt(directory, f"{found.tensors} cannot be read: {error.strerror}") from error
    actual = hashlib.sha256(data).hexdigest()
    if actual != found.tensors_sha256:
        raise _corrupt(directory, f"{found.tensors} has SHA-256 {actual}, its manifest says {found.tensors_sha256}")
    try:
        tensors = safetensors.torch.load(data)
        updates = tuple(
            WeightUpdate(row.name, tensors[f"{index}.left"], tensors[f"{index}.right"], row.conv1d)
            for index, row in enumerate(found.updates)
        )
    except (SafetensorError, KeyError, ValueError, EditDiverged) as error:
        raise _corrupt(directory, f"its tensors do not fit its manifest ({error})") from error
    return StoredDelta(found.id, found.base_hash, updates, dict[str, Any](found.manifest))


def _read_manifest(directory: Path) -> _Manifest:
    path = directory / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(_MANIFEST_LIMIT + 1)
    except OSError as error:
        raise _corrupt(directory, f"{MANIFEST} cannot be read: {error.strerror}") from error
    if len(text) > _MANIFEST_LIMIT:
        raise _corrupt(directory, f"{MANIFEST} is larger than {_MANIFEST_LIMIT} bytes")
    try:
        found = _Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        raise _corrupt(directory, f"{MANIFEST}: {where}: {first['msg']}") from error
    if found.checksum != found.expected_checksum():
        raise _corrupt(directory, f"{MANIFEST} was changed after it was written (its checksum does not fit)")
    return found


def _tensor_file_in(directory: Path) -> str | None:
    """Tensor file of the delta that a save is about to replace, if a valid one is there."""
    try:
        name = _read_manifest(directory).tensors
    except FileCorrupt:
        return None
    return name if is_plain_name(name) and name.startswith("delta-") else None


def _corrupt(directory: Path, reason: str) -> FileCorrupt:
    return FileCorrupt(
        f"{directory} holds no usable delta: {reason}. Restore the folder from a copy, or make the edit anew."
    )
