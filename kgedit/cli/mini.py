"""`kgedit mini`: measure the bundled model, or train it again."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, line, percent, table, working

app = typer.Typer(help="The bundled model: measure it, or train it again.")


@app.command()
def check(
    folder: Annotated[Path | None, typer.Option(help="Folder of the model; the bundled one by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measures what the bundled model knows: facts, wordings and chains, trained and held out."""
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate.bundled.knowledge import check as measure

        found = measure(folder, progress=advance)
    rows = [(name, recall.asked, percent(recall.share)) for name, recall in found.recall.items()]
    title = f"{found.facts} facts, {found.relations} relations, {found.entities} entities"
    emit(
        found.model_dump(mode="json"),
        lambda: [table(["exact greedy recall", "prompts", "right"], rows, title=title, numbers=2)],
        as_json=as_json,
    )


@app.command()
def capacity(
    method: Annotated[str, typer.Option(help="Editing method.")] = "rome",
    edits: Annotated[int, typer.Option(min=1, max=2000, help="Most edits to keep.")] = 60,
    facts: Annotated[int, typer.Option(min=1, max=4000, help="Unrelated facts to watch.")] = 400,
    seed: Annotated[int, typer.Option(help="Chooses edits and facts.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measures how many edits, kept one after another, the bundled model holds."""
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate.bundled.knowledge import capacity as measure

        found = measure(method=method, edits=edits, facts=facts, seed=seed, progress=advance)
    rows = [(number, percent(share), percent(found.efficacy[number])) for number, share in found.kept.items()]
    title = f"{found.method}: 95 % of {found.facts} unrelated facts are kept up to {found.holds} edits"
    emit(
        found.model_dump(mode="json"),
        lambda: [table(["edits kept", "unrelated facts right", "edits right"], rows, title=title, numbers=3)],
        as_json=as_json,
    )


@app.command()
def train(
    out: Annotated[Path | None, typer.Option(help="Folder for the model; the package's own by default.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over facts and chains.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU when there is one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Trains the bundled model again from the snapshot; an hour or so on two cores."""
    # One line per epoch with the minutes left: such a run is watched in a log rather than on a terminal.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    from kgedit.mini import train as training

    folder = Path(training.__file__).parent if out is None else out
    begun = time.monotonic()
    training.train(folder, epochs=epochs, seed=seed, device=device)
    data = {"out": str(folder), "epochs": epochs, "seed": seed, "seconds": round(time.monotonic() - begun, 1)}
    emit(data, lambda: [line(f"Trained into {folder}. Measure it: kgedit mini check")], as_json=as_json)
