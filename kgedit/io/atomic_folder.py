"""A folder that is either wholly there or not there at all: made beside, flushed to disk, renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from kgedit.errors import SaveFailed
from kgedit.io.durable import flush_path, made_folders, save_failed
from kgedit.io.staging import exchange, staging, sweep

Ours = Callable[[Path], set[str]]
"""Names of the files of a folder that were made here and not changed since, relative to it."""

_SHOWN = 3


@contextmanager
def whole_folder(target: Path, ours: Ours, *, force: bool = False) -> Iterator[Path]:
    """Make a folder in the block; it gets its name only when the block has ended well.

    Args:
        target: Its final name; an empty folder, or one in which all is `ours`, is replaced. A link is followed.
        ours: Tells which files may be removed.
        force: Also replace a folder that holds other files; these stay unless one of the new files has their name.

    Yields:
        The folder to write into.

    Raises:
        SaveFailed: Something else is there, the disk is full, or the folder cannot be written; all is as before.
    """
    target = target.resolve()
    try:
        kept = foreign(target, ours, force=force)
        with made_folders(target.parent), staging(target.parent) as beside:
            yield beside
            _settle(beside)
            _carry_over(target, beside, kept)
            exchange(beside, target)
            flush_path(target.parent)
    except (OSError, SafetensorError) as error:
        raise save_failed(target, error) from error


def foreign(target: Path, ours: Ours, *, force: bool) -> list[Path]:
    """What a folder holds besides what is ours: files, links and empty folders, relative to it.

    Raises:
        SaveFailed: There is something, and no `force`; or the target is no folder.
    """
    sweep(target.parent)  # may bring back a folder that a kill had moved away
    if not target.exists():
        return []
    if not target.is_dir():
        raise SaveFailed(f"{target} is there and is not a folder, so it is not replaced; name another one")
    found = [path for path in sorted(target.rglob("*")) if path.is_symlink() or not path.is_dir() or _empty(path)]
    mine = ours(target) if found else set()
    others = [path.relative_to(target) for path in found if path.relative_to(target).as_posix() not in mine]
    if others and not force:
        named = ", ".join(map(str, others[:_SHOWN])) + (f" and {len(others) - _SHOWN} more" * (len(others) > _SHOWN))
        raise SaveFailed(
            f"{target} holds what is not an earlier export, or was changed since ({named}), so it is not replaced; "
            "name a new or an empty folder, or say --force: then only files of the same names are replaced"
        )
    return others


def _empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def _carry_over(old: Path, new: Path, kept: list[Path]) -> None:
    """Put what stays of the old folder into the new one, by a second name where the disk can do that."""
    for path in kept:
        source, target = old / path, new / path
        if target.exists() or target.is_symlink():
            continue
        if source.is_dir() and not source.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, target, follow_symlinks=False)


def _settle(folder: Path) -> None:
    """Give every file the rights of ordinary ones, whatever its writer gave it, and flush it."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(folder.stat().st_mode & 0o666)
    for path in (*folder.rglob("*"), folder):
        flush_path(path)
