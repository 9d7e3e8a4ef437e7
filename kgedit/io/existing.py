"""Output files are not written over unless that is asked for, and can be written; told before any work is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from kgedit.errors import SaveFailed


def refuse_existing(*paths: Path, force: bool) -> None:
    """Check that none of these files is there, and that each can be made.

    Raises:
        SaveFailed: One is, and no `force`; or it is a folder, or its folder cannot be written.
    """
    for path in paths:
        if path.is_dir():
            raise SaveFailed(f"{path} is a folder, so no file of that name is written; choose another --out")
        if path.exists() and not force:
            raise SaveFailed(f"{path} is there already, and is not written over; choose another --out, or say --force")
        _check_writable(path)


def refuse_foreign(*paths: Path, ours: Callable[[bytes], bool], force: bool) -> None:
    """Check that each of these files can be made, and that what is there was made here before.

    Args:
        paths: The files.
        ours: Whether the content of a file is of the kind that will be written.
        force: Also write over what is not.

    Raises:
        SaveFailed: Another file is there, and no `force`; or see `refuse_existing`.
    """
    for path in paths:
        if path.is_file() and not force and not ours(path.read_bytes()):
            raise SaveFailed(
                f"{path} is there, and is no earlier output of this command, so it is not written over; choose "
                "another name, or say --force"
            )
        refuse_existing(path, force=True)


def has_fields_of(model: type[BaseModel], content: bytes) -> bool:
    """Whether a content is a JSON object with exactly the fields that a model writes."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    written = {name for name, field in model.model_fields.items() if not field.exclude}
    return isinstance(found, dict) and found.keys() == written


def _check_writable(path: Path) -> None:
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise SaveFailed(f"{path} cannot be written, since {above} is no folder; choose another --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise SaveFailed(f"{path} cannot be written: {above} is read-only; choose another --out")
