"""A large file that is either wholly there or not there at all: made beside, flushed to disk, renamed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kgedit.io.durable import flush, flush_path, save_failed


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Make a file in the block; it gets its name only when the block has ended well.

    Args:
        target: Its final name; a file that is there is replaced.

    Yields:
        The path to write to, an empty file in the same folder.

    Raises:
        SaveFailed: The disk is full, or the folder cannot be written; all is as before.
    """
    beside: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".part")
        os.close(handle)
        beside = Path(name)
        yield beside
        with beside.open("rb+") as file:
            flush(file)
        beside.chmod(0o644)
        beside.replace(target)
        flush_path(target.parent)
    except OSError as error:
        raise save_failed(target, error) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
