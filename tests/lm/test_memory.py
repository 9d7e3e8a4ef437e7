"""Peak memory counts what was held meanwhile, also when it is free again, and nothing from before."""

from __future__ import annotations

import sys

import pytest
import torch

from kgedit.lm.memory import peak_memory

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
