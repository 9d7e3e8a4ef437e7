"""`kgedit eval make`: benchmark files about what the bundled model knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kgedit.cli.options import MOST_SEED, AsJson
from kgedit.cli.output import emit, table
from kgedit.cli.progress import working


def make(
    suite: Annotated[Literal["mquake", "counterfact"], typer.Option(help="Benchmark to make.")],
    out: Annotated[Path, typer.Option(help="Folder for SUITE-dev.json and SUITE-test.json.")],
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of everything drawn; the same seed gives the same bytes.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Makes a benchmark in its original file format from the facts that the bundled model knows."""
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate import make_benchmark

        made = make_benchmark(suite, out, seed=seed, progress=advance)
    classes = sorted({name for found in made.classes.values() for name in found})
    rows = [(name, *(found.get(name, 0) for found in made.classes.values())) for name in classes]
    rows.append(("all", *made.cases.values()))
    title = f"{' and '.join(made.files.values())} (seed {made.seed})"
    emit(
        made.model_dump(mode="json"),
        lambda: [table(["cases", *made.cases], rows, title=title, numbers=len(made.cases))],
        as_json=as_json,
    )
