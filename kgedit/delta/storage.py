"""A delta on disk: `manifest.json`, which says everything, and one safetensors file.

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
from torch import Tensor

from kgedit.errors import FileCorrupt, SaveFailed
from kgedit.io.atomic_files import is_plain_name, write_files
from kgedit.io.durable import save_failed

MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 64 * 2**20  # bytes; real ones are a few kB
_HASH = r"^[0-9a-f]{64}$"


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["kgedit-delta"]
    version: Literal[1]
    kind: str = Field(default="low-rank", description="absent in files of 0.1.0, which knew one kind")
    id: str = Field(pattern=_HASH)
    base_hash: str
    tensors: str
    tensors_sha256: str = Field(pattern=_HASH)
    updates: list[dict[str, JsonValue]] = Field(description="What the tensors belong to, as the kind has it")
    manifest: dict[str, JsonValue]
    checksum: str = Field(default="", description="SHA-256 of all other fields as canonical JSON")

    def expected_checksum(self) -> str:
        stated = self.model_dump(exclude={"checksum"}, exclude_unset=True)  # a default is no part of the file
        body = json.dumps(stated, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()


class StoredDelta(NamedTuple):
    """The parts of a delta that are written.

    Attributes:
        kind: Its kind.
        id: Its id.
        base_hash: Its base.
        tensors: Name -> tensor.
        parts: What the tensors belong to, as plain JSON; laid out by the kind.
        manifest: How it came about.
    """

    kind: str
    id: str
    base_hash: str
    tensors: dict[str, Tensor]
    parts: list[dict[str, JsonValue]]
    manifest: dict[str, Any]


def save_stored(delta: StoredDelta, directory: Path) -> None:
    """Write a delta into a folder, replacing one that is there; all or nothing.

    Raises:
        SaveFailed: The disk is full, the folder cannot be written, or it holds a manifest of something else; it is as
            before then.
        ValueError: The manifest could be written but never read again.
    """
    data = safetensors.torch.save(delta.tensors, metadata={"base_hash": delta.base_hash})
    manifest = _Manifest(
        format="kgedit-delta",
        version=1,
        kind=delta.kind,
        id=delta.id,
        base_hash=delta.base_hash,
        tensors=f"delta-{delta.id[:16]}.safetensors",
        tensors_sha256=hashlib.sha256(data).hexdigest(),
        updates=delta.parts,
        manifest=delta.manifest,
    )
    manifest.checksum = manifest.expected_checksum()
    text = json.dumps(manifest.model_dump(), indent=1, ensure_ascii=False).encode()
    _Manifest.model_validate_json(text)  # such as nesting too deep to be read again
    check_free(directory, replace=True)
    replaced = _tensor_file_in(directory)
    write_files(directory, {manifest.tensors: data, MANIFEST: text})
    if replaced is not None and replaced != manifest.tensors:
        (directory / replaced).unlink(missing_ok=True)


def check_free(directory: Path, *, replace: bool) -> None:
    """Check that a delta may be written into a folder, before it is computed.

    Args:
        directory: The folder.
        replace: Whether a delta that is there may be replaced; a manifest of anything else never is.

    Raises:
        SaveFailed: It may not.
    """
    path = directory / MANIFEST
    if directory.exists() and not directory.is_dir():
        raise SaveFailed(f"{directory} is not a folder; choose another --out")
    try:
        with path.open("rb") as file:
            ours = b'"kgedit-delta"' in file.read(_MANIFEST_LIMIT)
    except FileNotFoundError:
        return
    except OSError as error:
        raise save_failed(path, error) from error
    if not ours:
        raise SaveFailed(f"{path} is no manifest of a delta, so it is not replaced; choose another folder")
    if not replace:
        raise SaveFailed(f"{directory} holds a delta already; choose another --out, or say --force to replace it")


def load_stored(directory: Path) -> StoredDelta:
    """Read what `save_stored` wrote; whether the id fits the content is for the caller to check.

    Raises:
        FileCorrupt: Something is missing, damaged, forged or of a newer version.
    """
    manifest = _read_manifest(directory)
    if not is_plain_name(manifest.tensors):
        raise corrupt(directory, f"its manifest names a tensor file outside the folder: {manifest.tensors!r}")
    try:
        data = (directory / manifest.tensors).read_bytes()
    except OSError as error:
        raise corrupt(directory, f"{manifest.tensors} cannot be read: {error.strerror}") from error
    actual, stated = hashlib.sha256(data).hexdigest(), manifest.tensors_sha256
    if actual != stated:
        raise corrupt(directory, f"{manifest.tensors} has SHA-256 {actual}, its manifest says {stated}")
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise corrupt(directory, f"{manifest.tensors} is no safetensors file ({error})") from error
    facts = dict[str, Any](manifest.manifest)
    return StoredDelta(manifest.kind, manifest.id, manifest.base_hash, tensors, manifest.updates, facts)


def files_of(directory: Path) -> tuple[str, str]:
    """Names of the two files of a delta that is saved in a folder.

    Raises:
        FileCorrupt: The folder holds no usable manifest.
    """
    return MANIFEST, _read_manifest(directory).tensors


def _read_manifest(directory: Path) -> _Manifest:
    path = directory / MANIFEST
    try:
        with path.open("rb") as file:
            text = file.read(_MANIFEST_LIMIT + 1)
    except OSError as error:
        other = _other_kind(directory)
        if other is not None:
            raise FileCorrupt(f"{directory} holds no delta of kgedit but {other}") from error
        raise corrupt(directory, f"{MANIFEST} cannot be read: {error.strerror}") from error
    if len(text) > _MANIFEST_LIMIT:
        raise corrupt(directory, f"{MANIFEST} is larger than {_MANIFEST_LIMIT} bytes")
    try:
        manifest = _Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the text"
        raise corrupt(directory, f"{MANIFEST}: {where}: {first['msg']}") from error
    if manifest.checksum != manifest.expected_checksum():
        raise corrupt(directory, f"{MANIFEST} was changed after it was written (its checksum does not fit)")
    return manifest


def _other_kind(path: Path) -> str | None:
    """What lies in the place of a delta, and what to do with it, where that can be told."""
    if (path / "adapter_config.json").is_file():
        return "a PEFT adapter, which peft loads; give the folder of the delta that it was exported from"
    if (path / "config.json").is_file():
        return "a model; give it as --model"
    if path.is_file() and path.suffix == ".gguf":
        return "a GGUF file, which llama.cpp loads; give the folder of the delta that it was exported from"
    return None


def _tensor_file_in(directory: Path) -> str | None:
    """Tensor file of the delta that a save is about to replace, if a valid one is there."""
    try:
        name = _read_manifest(directory).tensors
    except FileCorrupt:
        return None
    return name if is_plain_name(name) and name.startswith("delta-") else None


def corrupt(directory: Path, reason: str) -> FileCorrupt:
    """The error for a folder that holds no usable delta."""
    return FileCorrupt(
        f"{directory} holds no usable delta: {reason}. Restore the folder from a copy, or make the edit anew."
    )
