"""Hidden folders in which files are made before they get their names; what killed processes left is swept away.

A staging folder is named `.kgedit-*.part` and holds a lock that its process has as long as it lives: whoever makes the
next one in the same place removes those whose lock is free.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from kg_cache.lock import LockTimeout, exclusive

PREFIX, SUFFIX = ".kgedit-", ".part"
_LOCK, _NEW, _OLD = "lock", "new", "old"


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """An empty folder on the disk of `parent`, gone with all in it when the block ends.

    Args:
        parent: The folder in which it is made; it is there.

    Raises:
        OSError: It cannot be made.
    """
    sweep(parent)
    with ExitStack() as stack:
        folder = _locked(parent, stack)
        (folder / _NEW).mkdir()
        try:
            yield folder / _NEW
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def exchange(new: Path, target: Path) -> None:
    """Give a folder made in a staging folder its name; whatever interrupts it, the old folder of that name is back.

    After a kill between the two renames, the next sweep brings it back.
    """
    old = new.parent / _OLD / target.name
    try:
        if target.exists():
            old.parent.mkdir()
            target.rename(old)
        new.rename(target)
    except BaseException:  # Ctrl-C between the two renames is no OSError
        if old.exists() and not target.exists():
            old.rename(target)
        raise


def sweep(parent: Path) -> None:
    """Remove the staging folders of processes that are no more."""
    for folder in parent.glob(f"{PREFIX}*{SUFFIX}"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(LockTimeout, OSError), exclusive(folder / _LOCK, timeout=0):
            for old in (folder / _OLD).glob("*"):
                if not (parent / old.name).exists():
                    old.rename(parent / old.name)
            shutil.rmtree(folder, ignore_errors=True)


def _locked(parent: Path, stack: ExitStack) -> Path:
    """A new staging folder, locked as long as the stack lives."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX, suffix=SUFFIX))
        stack.callback(partial(shutil.rmtree, folder, ignore_errors=True))
        with suppress(LockTimeout, FileNotFoundError):  # a sweep took it for one that a process left
            stack.enter_context(exclusive(folder / _LOCK, timeout=0))
            if (folder / _LOCK).exists():
                return folder
