"""`kgedit eval compare`: finished runs side by side, with paired differences and the spread over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.options import AsJson, Force
from kgedit.cli.output import console, emit, line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.evaluate.compare import RunComparison


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs of one benchmark: what --out named.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a page here; Markdown or JSON if its name ends in .md or .json.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compares finished runs: each with the first, over the cases that both have.

    Runs that differ in their seed only are taken together, with mean and spread.
    """
    from kgedit.evaluate.compare import RunComparison, compare_runs
    from kgedit.evaluate.report.markdown import is_markdown
    from kgedit.io.existing import has_fields_of, refuse_foreign
    from kgedit.io.html_page import is_page

    if out is not None:

        def ours(content: bytes) -> bool:
            return is_page(content) or is_markdown(content) or has_fields_of(RunComparison, content)

        refuse_foreign(out, ours=ours, force=force)
    found = compare_runs(runs)
    if out is not None:
        _write(found, out)
    emit(
        found.model_dump(mode="json") | {"out": str(out) if out else None}, lambda: _shown(found, out), as_json=as_json
    )


def _write(found: RunComparison, out: Path) -> None:
    from kgedit.evaluate.report.html import to_html
    from kgedit.evaluate.report.markdown import to_markdown
    from kgedit.io.atomic_files import write_files

    ending = out.suffix.lower()
    text = (
        found.model_dump_json(indent=2) + "\n"
        if ending == ".json"
        else to_markdown(found.report, found.spread)
        if ending == ".md"
        else to_html(found.report, found.spread, answers=found.answers)
    )
    write_files(out.absolute().parent, {out.name: text.encode("utf-8", errors="replace")})


def _shown(found: RunComparison, out: Path | None) -> Iterator[RenderableType]:
    from kgedit.evaluate.report.terminal import to_terminal
    from kgedit.evaluate.report.wording import DIFFERENCES_HEADING, SPREAD_HEADING, difference_rows, spread_rows

    yield from to_terminal(found.report, width=console().width)
    if found.report.comparisons:
        yield table(DIFFERENCES_HEADING, difference_rows(found.report))
    if found.spread:
        yield table(SPREAD_HEADING, spread_rows(found.spread), title="Over seeds, in percent", numbers=3)
    if out is not None:
        yield line(f"Written to {out}")
