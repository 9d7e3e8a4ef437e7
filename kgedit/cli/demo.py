"""`kgedit demo`: the whole tool on real facts, without network or account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, line, percent, table, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.demo import DemoReport


def demo(
    edits: Annotated[int, typer.Option(min=1, max=1000, help="How many further edits to measure.")] = 20,
    seed: Annotated[int, typer.Option(help="Chooses the edits and every random number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Edits the bundled model with ROME and with GLAME, and shows what followed."""
    with working("Loading the bundled model") as advance:
        from kgedit.demo import run_demo

        report = run_demo(edits=edits, seed=seed, progress=advance)
    emit(report.model_dump(mode="json"), lambda: _shown(report), as_json=as_json)


def _shown(report: DemoReport) -> Iterator[RenderableType]:
    figures = report.model_dump()["methods"]
    measures = list(next(iter(figures.values())))
    rows = [(name, *(percent(found[measure]) for measure in measures)) for name, found in figures.items()]
    yield table(["method", *measures], rows, title=f"{report.edits} edits", numbers=len(measures))
    yield line(f"{report.seconds:.0f} seconds")
