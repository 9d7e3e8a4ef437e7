"""Times of two ways to do the same work, taken in turns; peak memory; and how busy the machine was with other work."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from kgedit.lm.memory import peak_memory

MOST_REPETITIONS = 5
BUSY = 0.1  # share of the processors that others may take before it is said


class Spent(NamedTuple):
    """Seconds on the clock, and seconds of processor time over all threads of this process."""

    wall: float
    cpu: float

    def per(self, units: float) -> Spent:
        """The time of one of so many."""
        return Spent(self.wall / units, self.cpu / units)


@dataclass(frozen=True)
class Side:
    """What one way to do the work took: medians, and the peak memory in bytes where it is known."""

    spent: Spent
    peak: int | None
    repetitions: int


@contextmanager
def synchronised(device: torch.device) -> Iterator[None]:
    """Wait for a GPU before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(works: dict[str, Callable[[], object]], device: torch.device, seconds: float) -> dict[str, Side]:
    """Do each work in turn, until the time is used up; each of them once at least."""
    spent: dict[str, list[Spent]] = {name: [] for name in works}
    peaks: dict[str, int | None] = dict.fromkeys(works)
    end = time.perf_counter() + seconds
    for _ in range(MOST_REPETITIONS):
        for name, work in works.items():
            gc.collect()
            peak = peak_memory(device)
            with synchronised(device):
                wall, cpu = time.perf_counter(), time.process_time()
                work()
            spent[name].append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
            if peaks[name] is None:
                peaks[name] = peak()
        if time.perf_counter() > end:
            break
    return {
        name: Side(Spent(*map(statistics.median, zip(*times, strict=True))), peaks[name], len(times))
        for name, times in spent.items()
    }


class OtherLoad:
    """How much of the processors other processes take, from when it is made; None where the system does not say."""

    def __init__(self) -> None:
        """Begin to look."""
        self._before = self._now()

    def share(self) -> float | None:
        """Share of all processors that others took, 0 to 1."""
        now = self._now()
        if now is None or self._before is None:
            return None
        (busy, total, own), (busy_before, total_before, own_before) = now, self._before
        if total == total_before:
            return 0.0
        return max(0.0, (busy - busy_before) - (own - own_before)) / (total - total_before)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Busy and whole time of all processors and the time of this process, in seconds."""
        try:
            ticks = [int(number) for number in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        except OSError:
            return None
        unit = os.sysconf("SC_CLK_TCK")
        idle = ticks[3] + ticks[4]
        own = os.times()
        return (
            (sum(ticks) - idle) / unit,
            sum(ticks) / unit,
            own.user + own.system + own.children_user + own.children_system,
        )
