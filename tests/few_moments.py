"""Second moments of the bundled model over few of its texts, in a cache of their own: others find the whole ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from kg_cache.bundled import bundled_store
from kgedit.lm.second_moment.collect import collect

TOKENS = 4096  # of 150,000


@contextmanager
def few_moments(folder: Path) -> Iterator[None]:
    """The folder, which is empty or was used so before, is the cache meanwhile."""
    with_snapshot(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGEDIT_CACHE_DIR", str(folder))
        patch.setattr("kgedit.lm.second_moment.find.collect", partial(collect, max_tokens=TOKENS))
        yield


def with_snapshot(folder: Path) -> None:
    """Put the store of the bundled snapshot into a cache, where it is not built again then."""
    folder.mkdir(exist_ok=True)
    for file in bundled_store().path.parent.glob("snapshot-*"):
        if not (folder / file.name).exists():
            shutil.copy(file, folder)
