"""Measures the peak memory of a piece of work, on the device where the model lies."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(device: torch.device) -> Callable[[], int | None]:
    """Start measuring; the result, when called, gives the peak in bytes since then.

    Args:
        device: Where the model lies. On CUDA the memory that torch holds there is measured; on the CPU the resident
            memory of the whole process, model and libraries included.

    Returns:
        A function that gives the peak in bytes, or None where it cannot be known: on the CPU anywhere but on Linux.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: torch.cuda.max_memory_allocated(device)
    if device.type != "cpu" or sys.platform != "linux":
        return lambda: None
    try:
        _RESET.write_text("5")  # sets the mark of the largest resident size back to the present one
    except OSError:  # some containers forbid it
        return lambda: None
    return _resident_peak


def _resident_peak() -> int | None:
    for row in _STATUS.read_text().splitlines():
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) * 1024
    return None


def return_freed() -> None:
    """Let the system have what was freed; the C library keeps small pieces for itself, and large ones come on top."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc
        trim(0)
