"""Run by test_repeatable, in a process of its own: hashes of an ingestion, an evaluation and a demonstration."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch

from kgedit.editor import Editor
from kgedit.evaluate.bundled.demo import NAMED
from kgedit.evaluate.run.evaluate import evaluate
from kgedit.evaluate.run.folder import ROWS
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.ingest import run
from kgedit.mini.cases import Casebook

METHOD = "glame:steps=3:extra_steps=0"
OPEN = {"probability": 0.0, "subject": 0.0, "neighbours": 0.0, "locality": 0.0, "kept": 0.0, "norm": 1e9, "facts": 10}


def ingested(folder: Path, changes: Path) -> str:
    """Hash of the weights that a run leaves."""
    settings = {"guards": OPEN, "ingest": {"facts": 20}}
    return run(folder, changes, method=METHOD, guard="warn", settings=settings, moments="identity").weights_hash


def evaluated(folder: Path, records: Path) -> str:
    """Hash of the rows of an evaluation; probabilities are among them."""
    settings = EvaluationSettings(
        suite="counterfact",
        data=str(records),
        methods=f"{METHOD},ft:steps=3",
        moments="identity",
        limit=1,
        anyway=True,
    )
    evaluate(settings, out=folder)
    return hashlib.sha256((folder / ROWS).read_bytes()).hexdigest()


def demonstrated() -> str:
    """Ids of the deltas that the demonstration measures."""
    editor, book = Editor.from_pretrained("mini", method=METHOD, moments="identity"), Casebook()
    cases = [book.named(*NAMED), *book.draw(1, seed=0)]
    requests, subgraphs = zip(*(editor.prepare(case.edit) for case in cases), strict=True)
    return " ".join(found.delta.id for found in editor.compute(requests, subgraphs))


def main(work: str, folder: Path, changes: Path, records: Path) -> None:
    """Print what was found."""
    torch.set_num_threads(2)
    if work == "ingestion":
        found = ingested(folder, changes)
    elif work == "evaluation":
        found = evaluated(folder, records)
    else:
        found = demonstrated()
    sys.stdout.write(found)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
