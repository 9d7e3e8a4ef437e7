"""`kgedit workbench`: a page in the browser to try, review and undo edits."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import AsJson, Graph, Moments, moments_source, store_folder
from kgedit.cli.output import emit, line
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading


@loads_model
def workbench(
    model: Annotated[
        str | None,
        typer.Option("--model", help="See `kgedit models`; by default the store's, or else mini (bundled)."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", callback=store_folder, help="Folder of ingested changes, for the journal."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", help="For edits and the journal; by default glame, and the preset's for the journal."
        ),
    ] = None,
    graph: Graph = None,
    moments: Moments = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; by default the first free one from 7860.")
    ] = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Opens a page to try, review and undo edits.

    It is served until Ctrl-C. Needs the extra `workbench`.
    """
    with ExitStack() as stack:
        with working("Loading the model") as advance:
            from kgedit.workbench.server import serving

            page = serving(
                model,
                method=method,
                graph=graph,
                moments=moments_source(moments),
                store=store,
                host=host,
                port=port,
                progress=advance,
                loading=loading,
            )
            served = stack.enter_context(page)
        data: dict[str, Any] = {"url": served.url, "token": served.token}
        told = [f"The workbench is at {served.url} (Ctrl-C ends it)."]
        told += [f"It asks for this token: {served.token}"] if served.token else []
        emit(data, lambda: [line(text) for text in told], as_json=as_json)
        served.wait()
