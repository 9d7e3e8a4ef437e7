"""Peak memory of one ROME edit at gpt2-medium shape, in a process of its own, over that of its libraries."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_SHAPE = "gpt2-medium"


def memory() -> list[dict[str, Any]]:
    """The peak beside the model and the layer's second moment; nothing where the system does not say."""
    command = [sys.executable, "-m", "benchmarks.bench.memory"]
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [row] if row["peak_bytes"] else []


def _measured() -> dict[str, Any]:
    import torch

    from benchmarks.bench.edits import RomeWork, edits
    from benchmarks.bench.shapes import Shape
    from kgedit.lm.memory import peak_memory

    (request, _), *_ = edits(1, 0)
    gc.collect()
    libraries = _resident()
    shape = Shape(_SHAPE)
    work = RomeWork(shape, [request], 21)
    held = sum(parameter.numel() * parameter.element_size() for parameter in shape.model.parameters())
    held += shape.moment.matrix.numel() * shape.moment.matrix.element_size()
    peak = peak_memory(torch.device("cpu"))
    work.ours(20)
    found = peak()
    return {
        "row": f"peak memory of one edit at {_SHAPE} shape, beside model and second moment",
        "peak_bytes": found and found - libraries,
        "held_bytes": held,
        "ratio": found and (found - libraries) / held,
    }


def _resident() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


if __name__ == "__main__":
    json.dump(_measured(), sys.stdout)
