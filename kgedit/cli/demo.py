"""`kgedit demo`: edits real facts in the bundled model and prints the effects; needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kg_cache.text import printable
from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.text import Text

    from kgedit.evaluate.bundled.demo import DemoReport, ShownAnswer

# Measure -> heading in the terminal.
WORDS = {
    "efficacy": "the edited fact",
    "paraphrase": "paraphrases",
    "portability": "what follows (two hops)",
    "subject_specificity": "the subject's other facts",
    "neighborhood": "neighbours",
}


def demo(
    edits: Annotated[int, typer.Option(min=1, max=1000, help="How many further edits to measure.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the drawn edits and of every random number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Edits the bundled model with ROME and GLAME: a first look."""
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate import run_demo

        report = run_demo(edits=edits, seed=seed, progress=advance)
    emit(report.model_dump(mode="json"), lambda: _shown(report), as_json=as_json)


def _shown(report: DemoReport) -> Iterator[RenderableType]:
    old, new = report.change
    yield line(f"{report.subject} is made a citizen of {new}, no longer of {old}. Each model, asked:", "bold")
    names = list(report.answers[0].said)
    kind = ""
    rows: list[tuple[object, ...]] = []
    for answer in report.answers:
        heading = "" if answer.measure == kind else WORDS[answer.measure]
        kind = answer.measure
        rows.append((heading, answer.prompt, answer.right, *(_said(answer, name) for name in names)))
    yield table(["", "prompt", "right after the edit", *names], rows)
    figures = {"unedited": report.unedited, **report.methods}
    shares = [(name, *(percent(means[measure]) for measure in WORDS)) for name, means in figures.items()]
    title = f"Right answers over {report.edits} edits (seed {report.seed}), each alone and undone bit for bit"
    yield table(["method", *WORDS.values()], shares, title=title, numbers=len(WORDS))
    yield line(f"Exact greedy match of the whole name, in wordings held out from the edit. {report.seconds:.0f} s.")


def _said(answer: ShownAnswer, name: str) -> Text:
    from rich.text import Text

    said = answer.said[name]
    return Text(printable(said), style="green" if said == answer.right else "red")
