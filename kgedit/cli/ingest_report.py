"""`kgedit ingest report`: every change of a store on one page, with its answers before and now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import AsJson, Force, Store
from kgedit.cli.output import emit, line
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write a page about the store here; JSON if its name ends in .json.")
]


@loads_model
def report(
    store: Store,
    out: Annotated[Path | None, typer.Option(help="The page; JSON if its name ends in .json.")] = None,
    force: Force = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Writes every change of a store on one page.

    With its answers before and now, the facts around it and its numbers.
    """
    if out is None and not as_json:
        raise typer.BadParameter("name the file of the page, or ask for --json", param_hint="--out")
    with working("Loading the model") as advance:
        from kgedit.ingest import build_report, check_report_file, write_report

        if out is not None:
            check_report_file(out, force=force)
        content = build_report(store, progress=advance, **loading)
        if out is not None:
            write_report(content, out)
    emit(
        content.model_dump(mode="json"),
        lambda: [line(f"{len(content.changes)} changes are on the page {out}.")],
        as_json=as_json,
    )
