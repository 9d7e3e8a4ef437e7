"""Files that are there already are not written over unless that is asked for; told before any work is done."""

from __future__ import annotations

from pathlib import Path

from kgedit.errors import SaveFailed


def refuse_existing(*paths: Path, force: bool) -> None:
    """Check that none of these files is there.

    Raises:
        SaveFailed: One is, and no `force`; or it is a folder.
    """
    for path in paths:
        if path.is_dir():
            raise SaveFailed(f"{path} is a folder, so no file of that name is written; choose another --out")
        if path.exists() and not force:
            raise SaveFailed(f"{path} is there already, and is not written over; choose another --out, or say --force")
