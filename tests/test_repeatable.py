"""Two processes with two threads each come to the same bits, in an ingestion, an evaluation and a demonstration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "changes.jsonl"

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


def found(folder: Path, real: Path, work: str) -> list[str]:
    """What two processes found, the second one while the first one runs."""
    changes = folder / "changes.jsonl"
    changes.write_text("".join(EXAMPLES.read_text(encoding="utf-8").splitlines(keepends=True)[:2]), encoding="utf-8")
    threads = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    environment = {**os.environ, **threads, "PYTHONPATH": str(HERE.parent)}
    started = [
        subprocess.Popen(
            [
                sys.executable, HERE / "two_threads.py", work, folder / name, changes,
                real / "counterfact/counterfact.json",
            ],
            stdout=subprocess.PIPE, text=True, env=environment,
        )
        for name in ("one", "other")
    ]  # fmt: skip
    said = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    return said


@pytest.mark.parametrize("work", ["ingestion", "evaluation", "demonstration"])
def test_two_processes_with_two_threads_agree_to_the_last_bit(tmp_path: Path, real: Path, work: str) -> None:
    one, other = found(tmp_path, real, work)
    assert one == other != ""
