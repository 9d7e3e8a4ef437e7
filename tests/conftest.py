"""What every test runs under: no network beyond this machine, no file in the user's folders; and real records."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any test module imports transformers: nothing is looked up on the hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real benchmark records and recorded answers; its README names the origin of each."""
    return Path(__file__).parent / "data"


@pytest.fixture(autouse=True, scope="session")
def _own_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The store of the bundled snapshot is built once in each process of a run, in a folder of its own.

    Second moments, which take longest, are collected once for all processes: the same ones give the same bits.
    """
    own = tmp_path_factory.mktemp("kgedit-cache")
    base = tmp_path_factory.getbasetemp()
    moments = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "moments"
    moments.mkdir(exist_ok=True)
    (own / "moments").symlink_to(moments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGEDIT_CACHE_DIR", str(own))
        patch.setenv("KGEDIT_CONFIG_DIR", str(tmp_path_factory.mktemp("kgedit-config")))
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of one test alone."""
    monkeypatch.setenv("KGEDIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


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
