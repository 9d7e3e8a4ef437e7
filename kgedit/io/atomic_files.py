"""Files that are either wholly there or not there at all: write beside, flush to disk, rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from kgedit.io.durable import flush, flush_path, save_failed


def write_files(directory: Path, contents: Mapping[str, bytes | Iterable[bytes]]) -> None:
    """Write several files into one folder so that a failure leaves the folder as it was.

    Every file is first written in full beside its final name and flushed to disk; only when all of them are
    there are they renamed, in the order given. So a full disk changes nothing. Put the file that makes the
    others valid last: a crash between two renames then leaves the old state in force.

    Args:
        directory: Folder to write into; made if it is not there, and removed again if writing fails.
        contents: Plain file name -> bytes, whole or in pieces.

    Raises:
        SaveFailed: The disk is full, the folder cannot be written, or the path is not a folder.
        ValueError: A name is not a plain file name.
    """
    for name in contents:
        if not is_plain_name(name):
            raise ValueError(f"{name!r} is not a plain file name; leave folders and special names out of it")
    made = _missing_folders(directory)
    staged: dict[str, Path] = {}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            staged[name] = _stage(directory, name, data)
        for name in contents:
            staged[name].replace(directory / name)
            del staged[name]
        flush_path(directory)  # the renames themselves
    except BaseException as error:
        for path in staged.values():
            path.unlink(missing_ok=True)
        _remove_empty(made)
        if isinstance(error, OSError):
            raise save_failed(directory, error) from error
        raise


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside the folder it is joined to, on every platform."""
    return name not in ("", ".", "..") and not any(ch in '/\\:\0"<>|?*' or ord(ch) < 32 for ch in name)


def _stage(directory: Path, name: str, data: bytes | Iterable[bytes]) -> Path:
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name[:40]}.", suffix=".tmp")
    path = Path(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            flush(file)
        path.chmod(0o666 & ~_umask())  # mkstemp makes files private; these are ordinary ones
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _umask() -> int:
    # The mask can only be read by setting it; 0o077 in between errs on the private side.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _missing_folders(directory: Path) -> list[Path]:
    """Folders that `mkdir(parents=True)` will have to make, deepest first."""
    return [folder for folder in (directory, *directory.parents) if not folder.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # not made after all, or somebody else put something in
            return
