"""Times the package beside the published procedures, in one run, with equal results.

    make bench                                            or
    .venv/bin/python -m benchmarks.bench [--json] [--out FILE] [--shapes mini,gpt2] [--rows rome,moments] [--gpu]
        [--edits 100] [--steps 20] [--cases 100] [--tokens 16384] [--seconds 20] [--seed 0] [--minutes 0]

Each shape has a process of its own. Before a row is timed, both results are compared in float32 (1e-4 relative, 5e-3
on a GPU). What fails is told in its row, and --out holds every row as soon as it is measured. Times
are medians of repetitions in turns, for one edit, case or thousand tokens, on the clock and as processor time of all
threads; the latter says more on a machine that is busy otherwise, which is told on stderr. A floor is the time of the
matrix products that any implementation must make (see `floor`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from benchmarks.bench import edits, passes
from benchmarks.bench.alone import starts, subgraphs
from benchmarks.bench.measure import BUSY, OtherLoad
from benchmarks.bench.memory import memory
from benchmarks.bench.rows import ON_GPU, Options, Row, measured
from benchmarks.bench.shapes import PLANS, Shape, available
from benchmarks.bench.table import table
from benchmarks.bench.workers import workers

Build = Callable[[Shape, Options], Row]
_GPU = ("gpt2-xl", "gpt-j", "llama-8b")
# Name -> what builds it, and the shapes that it is for.
ROWS: Mapping[str, tuple[Build, tuple[str, ...]]] = MappingProxyType(
    {
        "rome": (edits.one_rome, ("mini", "smollm2", "gpt2", "gpt2-medium", *_GPU)),
        "rome-5": (edits.one_rome_of_5, ("mini",)),
        "rome-many": (edits.many_rome, ("mini", *_GPU)),
        "rome-5-many": (edits.many_rome_of_5, ("mini",)),
        "memit-many": (edits.memit, ("mini",)),
        "glame-paper": (edits.one_glame, ("smollm2", "gpt2", "gpt2-xl")),
        "glame-paper-many": (edits.many_glame, ("gpt2", "gpt2-xl")),
        "glame-beside-rome": (edits.default_glame, ("smollm2",)),
        "moments": (passes.moments, ("smollm2", "gpt2", *_GPU)),
        "moments-5-layers": (passes.moments_of_layers, ("gpt2", "smollm2")),
        "scoring": (passes.scoring, ("mini", "smollm2", "gpt2", *_GPU)),
    }
)


def main() -> None:
    """Measures and prints; exit code 1 if a row failed, or two results differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object in the place of the table")
    parser.add_argument("--out", type=Path, help="write the JSON object here as well, anew after each row")
    parser.add_argument("--shapes", help=f"some of {','.join(PLANS)}; all that need no GPU by default")
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)},alone")
    parser.add_argument("--gpu", action="store_true", help="the large shapes, on a GPU")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    defaults = ON_GPU if "--gpu" in sys.argv else Options()
    for field in fields(Options):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=getattr(defaults, field.name))
    chosen = parser.parse_args()
    options = Options(**{field.name: getattr(chosen, field.name) for field in fields(Options)})
    names = [*ROWS, "alone"] if chosen.rows is None else chosen.rows.split(",")
    shapes = [name for name, plan in PLANS.items() if plan.gpu == chosen.gpu]
    shapes = shapes if chosen.shapes is None else chosen.shapes.split(",")
    if unknown := [name for name in (*names, *shapes) if name not in {*ROWS, *PLANS, "alone"}]:
        parser.error(f"unknown: {', '.join(unknown)}")
    if chosen.child:
        for row in of_shape(shapes[0], names, options):
            print(json.dumps(row), flush=True)
        return
    load, began = OtherLoad(), time.monotonic()
    report: dict[str, Any] = {"threads": torch.get_num_threads(), "options": asdict(options), "rows": [], "alone": []}
    if chosen.gpu and torch.cuda.is_available():
        report["device"] = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    for shape in shapes:
        for row in in_processes(shape, names, options, began):
            report["rows"].append(row)
            _write(report, chosen.out)
    if "alone" in names and not chosen.gpu:
        for measure in (starts, subgraphs, memory, workers):
            report["alone"] += measure()
            _write(report, chosen.out)
    report |= {"other_load": load.share(), "load_average": os.getloadavg()}
    _write(report, chosen.out)
    print(json.dumps(report) if chosen.json else table(report))
    if (share := report["other_load"]) is not None and share > BUSY:
        warn(
            f"OTHER WORK TOOK {100 * share:.0f} % OF THE PROCESSORS (load average {os.getloadavg()[0]:.1f}): only the "
            "ratios in processor time mean anything; run it again on a machine that does nothing else"
        )
    sys.exit(any("failed" in row for row in report["rows"]))


def _write(report: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def in_processes(shape: str, names: Sequence[str], options: Options, began: float) -> Iterator[dict[str, Any]]:
    """The rows of a shape, measured in a process of its own, so that memory begins anew; in another if that dies."""
    wanted = [name for name in names if name in ROWS and shape in ROWS[name][1]]
    if wanted and (reason := available(shape)):
        yield from ({"row": name, "shape": shape, "skipped": reason} for name in wanted)
        return
    while wanted:
        left = options.minutes - (time.monotonic() - began) / 60 if options.minutes else 0.0
        words = ["--child", "--shapes", shape, "--rows", ",".join(wanted)]
        words += [f"--{name}={value}" for name, value in (asdict(options) | {"minutes": left}).items()]
        command = [sys.executable, "-m", "benchmarks.bench", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            row = json.loads(line)
            wanted.remove(row["row"])
            yield row
        code = process.wait()
        if wanted:
            yield _failed(wanted.pop(0), shape, f"the process ended with code {code}")


def of_shape(name: str, rows: Sequence[str], options: Options) -> Iterator[dict[str, Any]]:
    """The rows of a shape, in this process; one that fails does not end the others."""
    began, shape = time.monotonic(), None
    for row in rows:
        if options.minutes and time.monotonic() - began > 60 * options.minutes:
            yield {"row": row, "shape": name, "skipped": "no time was left"}
            continue
        warn(f"{row}, {name} ...")
        try:
            shape = shape or Shape(name)
            found = {"row": row, "shape": name, **measured(ROWS[row][0](shape, options), shape, options)}
        except Exception as error:  # noqa: BLE001 - whatever a device raises belongs into the row
            where = traceback.extract_tb(error.__traceback__)[-1]
            found = _failed(row, name, f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")
            traceback.print_exc()
        yield found
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _failed(row: str, shape: str, why: str) -> dict[str, Any]:
    return {"row": row, "shape": shape, "skipped": f"FAILED: {' '.join(why.split())[:300]}", "failed": True}


def warn(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
