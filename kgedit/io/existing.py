"""Output files are not written over unless that is asked for, and can be written; told before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

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
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise SaveFailed(f"{path} cannot be written, since {above} is no folder; choose another --out")
        if not os.access(above, os.W_OK | os.X_OK):
            raise SaveFailed(f"{path} cannot be written: {above} is read-only; choose another --out")
