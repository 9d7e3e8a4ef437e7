"""Two Ray workers beside one: the same evaluation of 40 cases, each worker with one thread.

Start-up counts; the model's second moments, which are collected once for all evaluations, are there before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kgedit.evaluate.made.files import make_benchmark

_CASES, _METHODS = 40, "rome,memit,glame"


def workers() -> list[dict[str, Any]]:
    """Seconds of two workers, of one, and their ratio; the rows of both are compared first."""
    name = f"two Ray workers beside one, {_CASES} cases by {_METHODS}"
    if find_spec("ray") is None:
        return [{"row": name, "skipped": "Ray is not installed"}]
    with tempfile.TemporaryDirectory() as folder:
        made = make_benchmark("counterfact", Path(folder), sizes={"test": _CASES})
        command = (sys.executable, "-m", "kgedit", "eval", "counterfact", "--data", made.files["test"])
        command += ("--methods", _METHODS, "--json")
        times, rows = {}, {}
        for number in (1, 2):
            # Neither finds what the other one asked the unedited model.
            out, cache = Path(folder) / str(number), Path(folder) / f"cache{number}"
            run = partial(
                subprocess.run,
                check=True,
                capture_output=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "KGEDIT_CACHE_DIR": str(cache)},
            )
            run((*command, "--limit", "1"))
            begin = time.perf_counter()
            run((*command, "--out", out, "--executor", "ray", "--workers", str(number)))
            times[number], rows[number] = time.perf_counter() - begin, (out / "rows.jsonl").read_bytes()
        if rows[1] != rows[2]:
            raise ArithmeticError("the rows of two workers are not those of one")
    return [
        {"row": name, "seconds": times[2], "cpu_seconds": None, "base_seconds": times[1], "ratio": times[1] / times[2]}
    ]
