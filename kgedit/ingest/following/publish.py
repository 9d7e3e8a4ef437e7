"""Versions of the adapter in a folder, and the link `current` to the last of them, which is switched at once.

    OUT/000007/     a LoRA adapter for PEFT, the same as adapter.gguf for llama.cpp, card, and kgedit_export.json
    OUT/current     a link to it

The record names the changes with their sources and the hash of every file.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from kgedit.errors import FileCorrupt, SaveFailed
from kgedit.ingest.exports.manifest import CARD, RECORD, ExportKind, ExportRecord, read_record
from kgedit.ingest.exports.write import export_open
from kgedit.ingest.session import Session
from kgedit.io.durable import flush_path
from kgedit.io.staging import sweep

CURRENT = "current"
_VERSION = re.compile("[0-9]{6}")


def publish(session: Session, out: Path, *, keep: int) -> Path | None:
    """Write a version of what is in force, and switch the link to it.

    Args:
        session: The open store.
        out: Folder of the versions; made if it is not there.
        keep: Number of versions that stay.

    Returns:
        The version; None where the link leads to the same weights already, or no change is in force: then the link is
        taken away, since the unedited model is what holds.

    Raises:
        SaveFailed: The folder cannot be written, or `current` is there and no link; the link is as before.
        UnsupportedExport: The changes do not fit into an adapter.
    """
    store, link = session.store, out / CURRENT
    if link.exists() and not link.is_symlink():
        raise SaveFailed(
            f"{link} is there and is no link, so it is not replaced; move it away, or name another folder"
        )
    if not store.journal.in_force():
        try:
            link.unlink(missing_ok=True)
        except OSError as error:
            raise SaveFailed(f"{link} cannot be removed ({error.strerror or error}); check the folder") from error
        return None
    if _weights(link) == store.weights_hash:
        return None
    # 1. The version, which is whole or not there.
    version = out / f"{max((int(path.name) for path in versions(out)), default=0) + 1:06}"
    export_open(store, session.editor, session.weights, version, ExportKind.ADAPTER, gguf=True)
    # 2. The link: a new one is renamed over the old one, so that a reader sees either.
    beside = out / f".{CURRENT}-{os.getpid()}"
    try:
        beside.unlink(missing_ok=True)
        beside.symlink_to(version.name)
        beside.replace(link)
        flush_path(out)
    except OSError as error:
        raise SaveFailed(f"{link} cannot be switched ({error.strerror or error}); check the folder") from error
    # 3. Versions that nobody needs any more.
    for old in versions(out)[:-keep]:
        _remove(old)
    return version


def current_version(out: Path) -> Path | None:
    """The version that the link leads to; None where there is no link, or no version behind it."""
    link = out / CURRENT
    if not link.is_symlink() or not (link / RECORD).is_file():
        return None
    version = out / link.readlink().name
    return version if _VERSION.fullmatch(version.name) else None


def _remove(version: Path) -> None:
    """Remove the files that a version's record lists, and its folder; what somebody else put there stays."""
    with suppress(OSError, ValidationError):
        listed = {*ExportRecord.model_validate_json((version / RECORD).read_bytes()).files, CARD, RECORD}
        for path in sorted(version.rglob("*"), reverse=True):  # what a folder holds before the folder
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # it is not empty
                    path.rmdir()
            elif path.relative_to(version).as_posix() in listed:
                path.unlink()
        version.rmdir()


def versions(out: Path) -> list[Path]:
    """The versions in a folder, the oldest first."""
    if not out.is_dir():
        return []
    sweep(out)
    named = (path for path in out.iterdir() if _VERSION.fullmatch(path.name))
    return sorted(path for path in named if (path / RECORD).is_file())


def _weights(version: Path) -> str | None:
    """Hash of the weights that a version gives; None where there is none that can be read."""
    with suppress(FileCorrupt):
        return read_record(version).weights_hash
    return None
