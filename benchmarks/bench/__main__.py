"""Times the package beside the published procedures, in one run, with equal results.

    make bench                                            or
    .venv/bin/python -m benchmarks.bench [--json] [--out FILE] [--shapes mini,gpt2] [--rows rome,moments] [--gpu]
        [--edits 100] [--steps 20] [--cases 100] [--tokens 16384] [--seconds 20] [--seed 0]

Each shape has a process of its own. Before a row is timed, both results are compared (1e-4 relative in float32). Times
are medians of repetitions in turns, for one edit, case or thousand tokens, on the clock and as processor time of all
threads; the latter says more on a machine that is busy otherwise, which is told on stderr. A floor is the time of the
matrix products that any implementation must make (see `floor`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from benchmarks.bench import edits, passes
from benchmarks.bench.alone import starts, subgraphs
from benchmarks.bench.measure import BUSY, OtherLoad
from benchmarks.bench.rows import Options, Row, measured
from benchmarks.bench.shapes import PLANS, Shape, available
from benchmarks.bench.table import table

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
    """Measures and prints; exit code 1 if two results differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object in the place of the table")
    parser.add_argument("--out", type=Path, help="write the JSON object here as well")
    parser.add_argument("--shapes", help=f"some of {','.join(PLANS)}; all that need no GPU by default")
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)},alone")
    parser.add_argument("--gpu", action="store_true", help="the large shapes, on a GPU")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    for field in fields(Options):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
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
    load = OtherLoad()
    rows = [row for shape in shapes for row in in_a_process(shape, names, options)]
    report = {
        "threads": torch.get_num_threads(),
        "options": asdict(options),
        "rows": rows,
        "alone": [*starts(), *subgraphs()] if "alone" in names and not chosen.gpu else [],
        "other_load": load.share(),
        "load_average": os.getloadavg(),
    }
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report) if chosen.json else table(report))
    if (share := report["other_load"]) is not None and share > BUSY:
        warn(
            f"OTHER WORK TOOK {100 * share:.0f} % OF THE PROCESSORS (load average {os.getloadavg()[0]:.1f}): only the "
            "ratios in processor time mean anything; run it again on a machine that does nothing else"
        )
    sys.exit(any("failed" in row for row in rows))


def in_a_process(shape: str, names: list[str], options: Options) -> Iterator[dict[str, Any]]:
    """The rows of a shape, measured in a process of its own, so that memory begins anew."""
    wanted = [name for name in names if name in ROWS and shape in ROWS[name][1]]
    if not wanted:
        return
    if reason := available(shape):
        yield from ({"row": name, "shape": shape, "skipped": reason} for name in wanted)
        return
    words = ["--child", "--shapes", shape, "--rows", ",".join(wanted)]
    words += [word for name, value in asdict(options).items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bench", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    done = []
    for line in process.stdout:
        row = json.loads(line)
        done.append(row["row"])
        yield row
    if process.wait():
        missing = [name for name in wanted if name not in done]
        yield {"row": missing[0] if missing else "end", "shape": shape, "skipped": "FAILED", "failed": True}


def of_shape(name: str, rows: list[str], options: Options) -> Iterator[dict[str, Any]]:
    """The rows of a shape, in this process."""
    shape = Shape(name)
    for row in rows:
        warn(f"{row}, {name} ...")
        build, _ = ROWS[row]
        try:
            yield {"row": row, "shape": name, **measured(build(shape, options), shape, options)}
        except ArithmeticError as error:
            yield {"row": row, "shape": name, "skipped": f"FAILED: {error}", "failed": True}


def warn(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
