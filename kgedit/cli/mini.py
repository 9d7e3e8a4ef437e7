"""`kgedit mini`: measure the bundled model, or train it again."""

from __future__ import annotations

import typer

from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, table, working

app = typer.Typer(help="The bundled model: measure it, or train it again.")


@app.command()
def check(as_json: AsJson = False) -> None:
    """Measures what the bundled model knows: facts, wordings and chains, trained and held out."""
    with working("Loading the bundled model") as advance:
        from kgedit.mini.check import check as measure

        found = measure(progress=advance)
    data = found if isinstance(found, dict) else found.model_dump(mode="json")
    emit(data, lambda: [table(["measure", "value"], list(data.items()), numbers=1)], as_json=as_json)
