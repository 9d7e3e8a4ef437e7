"""Peak memory counts what was held meanwhile, also when it is free again, and nothing from before."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest
import torch

from kgedit.lm.memory import peak_memory, return_freed

CPU = torch.device("cpu")
MEGABYTES = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is known on Linux only")
def test_the_peak_rises_and_is_set_back() -> None:
    quiet = peak_memory(CPU)()
    if quiet is None:
        pytest.skip("this system forbids setting the mark back")
    measured = peak_memory(CPU)
    held = torch.ones(300 * MEGABYTES, dtype=torch.uint8)
    del held
    loud = measured()
    assert loud is not None
    assert loud - quiet > 250 * MEGABYTES
    again = peak_memory(CPU)()
    assert again is not None
    assert loud - again > 250 * MEGABYTES


def test_where_it_cannot_be_known_there_is_no_number() -> None:
    assert peak_memory(torch.device("meta"))() is None


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_lies_below_something_that_is_kept_goes_back_to_the_system() -> None:
    pieces = [torch.ones(20_000) for _ in range(1000)]  # 80 kB each, which the C library keeps
    kept = pieces[-1]
    del pieces
    before = _resident()
    return_freed()
    assert _resident() < before - 40_000_000
    assert bool((kept == 1).all())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
