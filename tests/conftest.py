"""What every test runs under: no network beyond this machine, no file in the user's folders; and real records."""

from __future__ import annotations

import gc
import os
import shutil
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

# Before any test module imports transformers: nothing is looked up on the hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

FEW_TOKENS = 26_000  # of 150,000; fewer would be told of


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector need not walk it again and again."""
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real benchmark records and recorded answers; its README names the origin of each."""
    return Path(__file__).parent / "data"


@pytest.fixture(autouse=True, scope="session")
def _own_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The store of the bundled snapshot is built once in each process of a run, in a folder of its own.

    Second moments, which take longest, are collected once for all processes, over few of the bundled model's texts.
    """
    from kgedit.lm.second_moment.collect import collect  # later than what is set for transformers above

    own = tmp_path_factory.mktemp("kgedit-cache")
    base = tmp_path_factory.getbasetemp()
    moments = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "moments"
    moments.mkdir(exist_ok=True)
    (own / "moments").symlink_to(moments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGEDIT_CACHE_DIR", str(own))
        patch.setenv("KGEDIT_CONFIG_DIR", str(tmp_path_factory.mktemp("kgedit-config")))
        patch.setattr("kgedit.lm.second_moment.find.collect", partial(collect, max_tokens=FEW_TOKENS))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of one test alone; the store of the bundled snapshot is in it already."""
    from kg_cache.bundled import bundled_store

    folder = tmp_path / "cache"
    folder.mkdir()
    for file in bundled_store().path.parent.glob("snapshot-*"):
        shutil.copy(file, folder)
    monkeypatch.setenv("KGEDIT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="module")
def whole_moments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Second moments of the bundled model over all of its texts, as users have them; in a cache of their own."""
    from kgedit.lm.second_moment.collect import collect

    base = tmp_path_factory.getbasetemp()
    whole = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "whole-moments"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGEDIT_CACHE_DIR", str(whole))
        patch.setattr("kgedit.lm.second_moment.find.collect", collect)
        yield


@pytest.fixture(autouse=True)
def _as_wide_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are written without a terminal's width, whatever a library run by an earlier test has said it is."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """A test that would leave the machine fails with a message instead of depending on a network."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host not in {"127.0.0.1", "::1", "localhost"}:
            raise OSError(f"tests may connect to this machine only, not to {host!r}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
