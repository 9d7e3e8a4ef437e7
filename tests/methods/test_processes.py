"""An edit does not depend on the process that computes it: a killed run goes on as it would have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

COMPUTE = """
import sys
from families import tiny_model
from methods.test_glame import config, run
model, tok = tiny_model("gpt2")
sys.stdout.write(run(model, tok, config(steps=12))[0].delta.id)
"""


def test_the_order_of_sets_of_text_has_no_say() -> None:
    found = set()
    for seed in ("0", "1", "2", "5"):
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PYTHONHASHSEED": seed}
        result = subprocess.run(
            [sys.executable, "-c", COMPUTE], env=environment, capture_output=True, text=True, check=True
        )
        found.add(result.stdout)
    assert len(found) == 1
