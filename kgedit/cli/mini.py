"""`kgedit mini`: measures the bundled model, or trains it again."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.options import MOST, MOST_SEED, AsJson
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working

app = typer.Typer(help="The bundled model: measures it, or trains it again.")


@app.command()
def check(
    folder: Annotated[Path | None, typer.Option(help="Folder of the model; the bundled one by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measures what the bundled model knows.

    Facts, wordings and chains of facts; trained ones and held-out ones.
    """
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate.bundled.knowledge import check as measure

        knowledge = measure(folder, progress=advance)
    rows = [(name, recall.asked, percent(recall.share)) for name, recall in knowledge.recall.items()]
    title = f"{knowledge.facts} facts, {knowledge.relations} relations, {knowledge.entities} entities"
    emit(
        knowledge.model_dump(mode="json"),
        lambda: [table(["exact greedy recall", "prompts", "right"], rows, title=title, numbers=2)],
        as_json=as_json,
    )


@app.command()
def capacity(
    method: Annotated[str, typer.Option(help="Editing method.")] = "rome",
    edits: Annotated[int, typer.Option(min=1, max=2000, help="The most edits applied.")] = 60,
    facts: Annotated[int, typer.Option(min=1, max=4000, help="Unrelated facts that are asked after each step.")] = 400,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the drawn edits and facts.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measures how many successive edits the bundled model keeps."""
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate.bundled.knowledge import capacity as measure

        result = measure(method=method, edits=edits, facts=facts, seed=seed, progress=advance)
    rows = [(number, percent(share), percent(result.efficacy[number])) for number, share in result.kept.items()]
    title = f"{result.method}: 95 % of {result.facts} unrelated facts are kept up to {result.holds} edits"
    emit(
        result.model_dump(mode="json"),
        lambda: [table(["edits kept", "unrelated facts right", "edits right"], rows, title=title, numbers=3)],
        as_json=as_json,
    )


@app.command()
def train(
    out: Annotated[Path | None, typer.Option(help="Folder for the model; the package's own by default.")] = None,
    epochs: Annotated[int, typer.Option(min=1, max=MOST, help="Passes over facts and chains.")] = 40,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of everything random.")] = 0,
    device: Annotated[str | None, typer.Option(help="Torch device; a GPU when there is one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Trains the bundled model again from the snapshot.

    Takes about an hour on two cores.
    """
    # One line per epoch with the minutes left, since such a run is watched in a log rather than on a terminal.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    from kgedit.lm.device import checked_device
    from kgedit.mini import train as training

    if device:
        checked_device(device)
    folder = Path(training.__file__).parent if out is None else out
    begun = time.monotonic()
    training.train(folder, epochs=epochs, seed=seed, device=device)
    data = {"out": str(folder), "epochs": epochs, "seed": seed, "seconds": round(time.monotonic() - begun, 1)}
    emit(data, lambda: [line(f"Trained into {folder}. Measure it: kgedit mini check")], as_json=as_json)
