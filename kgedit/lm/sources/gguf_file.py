"""Opens a GGUF file and refuses what is none, what is cut short, and what is no whole model.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from kgedit.errors import FileCorrupt, MissingExtra, UnsupportedModel

_MAGIC = b"GGUF"
_KNOWN_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive or wheel",
    b"vers": "a Git LFS pointer: the file itself was not downloaded",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"ggml": "the older GGML format; convert it with llama.cpp",
    b"ggjt": "the older GGML format; convert it with llama.cpp",
}


def gguf_library() -> Any:
    """The `gguf` package of llama.cpp.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return importlib.import_module("gguf")
    except ImportError as error:
        raise MissingExtra("GGUF files need the package gguf; install it with pip install 'kgedit[gguf]'") from error


def check_is_gguf(path: Path) -> None:
    """Make sure that a file begins as a GGUF file does.

    Raises:
        FileCorrupt: It does not; says what it is instead where that can be told.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise FileCorrupt(
            f"{path} cannot be read: {error.strerror or error}; check its rights and the disk"
        ) from error
    if head != _MAGIC:
        instead = _KNOWN_BEGINNINGS.get(head, f"it begins with {head!r}" if head else "it is empty")
        if path.suffix == ".gguf":
            raise FileCorrupt(f"{path} is no GGUF file, whatever its name says ({instead}); give the model's own file")
        raise FileCorrupt(f"{path} is no GGUF file ({instead}); name the folder of a model, or a GGUF file")


def open_gguf(path: Path) -> Any:
    """A `gguf.GGUFReader` on a file that is whole; nothing of the weights is read yet.

    Raises:
        FileCorrupt: The file is no GGUF file, or ends before its last tensor does.
        MissingExtra: The package `gguf` is not installed.
    """
    library = gguf_library()
    check_is_gguf(path)
    try:
        reader = library.GGUFReader(path)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise _cut_short(path) from error
    end = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors), default=0)
    if end > path.stat().st_size:
        raise _cut_short(path)
    return reader


def open_model(path: Path) -> Any:
    """`open_gguf` for a file that holds one whole language model.

    Raises:
        UnsupportedModel: It holds an adapter, a projector, or one part of several.
    """
    reader = open_gguf(path)
    kind = field(reader, "general.type", "model")
    if kind != "model":
        raise UnsupportedModel(f"{path} holds no model but one of the kind {kind!r}; give the file of the base model")
    parts = int(field(reader, "split.count", 0))
    if parts > 1:
        raise UnsupportedModel(
            f"{path} is one of {parts} parts of a model; join them first: llama-gguf-split --merge FIRST.gguf ALL.gguf"
        )
    if not reader.tensors or "general.architecture" not in reader.fields:
        raise UnsupportedModel(f"{path} holds no weights, or names no architecture; give the model's own file")
    return reader


def field(reader: Any, key: str, default: Any = None) -> Any:
    """The value of a metadata field, or the default where the file has none."""
    found = reader.get_field(key)
    return default if found is None else found.contents()


def _cut_short(path: Path) -> FileCorrupt:
    return FileCorrupt(
        f"{path} is damaged or cut short ({path.stat().st_size:,} bytes are there); download it again and compare its "
        "size with the source's"
    )
