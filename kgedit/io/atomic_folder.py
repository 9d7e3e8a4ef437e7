"""A folder that is either wholly there or not there at all: made beside, flushed to disk, renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from kgedit.errors import SaveFailed
from kgedit.io.durable import flush_path, save_failed


@contextmanager
def whole_folder(target: Path, mark: str) -> Iterator[Path]:
    """Make a folder in the block; it gets its name only when the block has ended well.

    Args:
        target: Its final name; an empty folder, or one that holds the file `mark`, is replaced. A link is followed.
        mark: Name of the file by which such a folder is known.

    Yields:
        The folder to write into.

    Raises:
        SaveFailed: Something else is there, the disk is full, or the folder cannot be written; all is as before.
    """
    target = target.resolve()
    beside: Path | None = None
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir()) and not (target / mark).is_file()):
            raise SaveFailed(
                f"{target} is there and is not an earlier export, so it is not replaced; name a new or an empty folder"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:40]}."))
        yield _made(beside / "new")
        _settle(beside / "new")
        _exchange(target, beside)
    except (OSError, SafetensorError) as error:
        raise save_failed(target, error) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def _exchange(target: Path, beside: Path) -> None:
    """Put `beside`/new in the place of the target; whatever interrupts it, the old folder is back."""
    try:
        if target.exists():
            target.rename(beside / "old")
        (beside / "new").rename(target)
    except BaseException:  # Ctrl-C between the two renames is no OSError
        if (beside / "old").exists() and not target.exists():
            (beside / "old").rename(target)
        raise


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _settle(folder: Path) -> None:
    """Give every file the rights of ordinary ones, whatever its writer gave it, and flush it."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(folder.stat().st_mode & 0o666)
    for path in (*folder.rglob("*"), folder):
        flush_path(path)
