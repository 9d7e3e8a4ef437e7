"""Files that are either wholly there or not there at all: write beside, flush to disk, rename."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from kgedit.io.durable import flush, flush_path, made_folders, save_failed
from kgedit.io.staging import staging


def write_files(directory: Path, contents: Mapping[str, bytes | Iterable[bytes]]) -> None:
    """Write several files into one folder so that a failure leaves the folder as it was.

    Every file is first written in full beside its final name and flushed to disk; only when all of them are
    there are they renamed, in the order given. So a full disk changes nothing. Put the file that makes the
    others valid last: a crash between two renames then leaves the old state in force. A name that is a link stays
    one: the file behind it is replaced.

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
    try:
        with made_folders(directory), ExitStack() as stack:
            targets = {name: (directory / name).resolve() for name in contents}
            folders = dict.fromkeys(target.parent for target in targets.values())
            beside = {folder: stack.enter_context(staging(folder)) for folder in folders}
            staged: dict[Path, Path] = {}
            for name, data in contents.items():
                target = targets[name]
                staged[target] = _written(beside[target.parent] / target.name, data)
            for target, path in staged.items():
                path.replace(target)
            for folder in folders:
                flush_path(folder)  # the renames themselves
    except OSError as error:
        raise save_failed(directory, error) from error


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside the folder it is joined to, on every platform."""
    return name not in ("", ".", "..") and not any(ch in '/\\:\0"<>|?*' or ord(ch) < 32 for ch in name)


def _written(path: Path, data: bytes | Iterable[bytes]) -> Path:
    with path.open("wb") as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        flush(file)
    return path
