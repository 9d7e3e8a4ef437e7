"""A folder that really cannot be written, also for a test that runs as root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION = 0x20080522  # of Linux's capability interface
_OVERRIDE = 1 << 1  # CAP_DAC_OVERRIDE: to write where the mode of a file forbids it


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write from a folder and all in it, and from root the privilege to write all the same."""
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & ~0o222)
    try:
        with _no_override():
            with pytest.raises(PermissionError):
                (folder / "probe").touch()
            yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@contextmanager
def _no_override() -> Iterator[None]:
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None)
    header, data = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    if not hasattr(libc, "capset") or libc.capget(header, data):
        pytest.skip("root cannot give up its privileges here")
    effective = data[0]
    data[0] = effective & ~_OVERRIDE
    libc.capset(header, data)
    try:
        yield
    finally:
        data[0] = effective
        libc.capset(header, data)
