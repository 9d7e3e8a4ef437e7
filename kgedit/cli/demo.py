"""`kgedit demo`: edits real facts in the bundled model, or in a real one, and prints the effects."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST_SEED, AsJson, Graph, Model, Moments, moments_source
from kgedit.cli.output import emit, line, marked, percent, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading
from kgedit.mini import MINI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.evaluate.bundled.demo import DemoReport
    from kgedit.trials.demo import RecalledDemo

# Measure -> heading in the terminal.
WORDS = {
    "efficacy": "the edited fact",
    "paraphrase": "paraphrases",
    "portability": "what follows (two hops)",
    "subject_specificity": "the subject's other facts",
    "neighborhood": "neighbours",
}


@loads_model
def demo(
    model: Model = MINI,
    edits: Annotated[int, typer.Option(min=1, max=1000, help="How many further edits to measure.")] = 20,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of the drawn edits and of every random number.")
    ] = 0,
    graph: Graph = None,
    moments: Moments = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Edits a model with ROME and GLAME: a first look.

    A model of `kgedit models` that is not here yet is fetched first.
    """
    if model != MINI:
        _demo_of_recalled(model, edits, seed, graph, moments, loading, as_json=as_json)
        return
    if graph or moments or loading:
        raise typer.BadParameter("the bundled model's demonstration takes --edits and --seed only; name a --model")
    with working("Loading the bundled model") as advance:
        from kgedit.evaluate import run_demo

        report = run_demo(edits=edits, seed=seed, progress=advance)
    emit(report.model_dump(mode="json"), lambda: _shown(report), as_json=as_json)


def _shown(report: DemoReport) -> Iterator[RenderableType]:
    old, new = report.change
    yield line(f"{report.subject} is made a citizen of {new}, no longer of {old}. Each model, asked:", "bold")
    names = list(report.answers[0].said)
    rows: list[tuple[object, ...]] = []
    for measure, answers in groupby(report.answers, key=lambda answer: answer.measure):
        rows.append((f"{WORDS[measure]}:", *("" for _ in names)))
        rows += [
            (
                f"  {answer.prompt} → {answer.right}",
                *(marked(answer.said[name], answer.said[name] == answer.right) for name in names),
            )
            for answer in answers
        ]
    yield table(["prompt → right answer after the edit", *names], rows, wide=0)
    figures = {"unedited": report.unedited, **report.methods}
    shares = [(name, *(percent(means[measure]) for measure in WORDS)) for name, means in figures.items()]
    title = f"Right answers over {report.edits} edits (seed {report.seed}), each alone and undone bit for bit"
    yield table(["method", *WORDS.values()], shares, title=title, numbers=len(WORDS))
    yield line(f"Exact greedy match of the whole name, in wordings held out from the edit. {report.seconds:.0f} s.")


def _demo_of_recalled(
    model: str, edits: int, seed: int, graph: Path | None, moments: str | None, loading: Loading, *, as_json: bool
) -> None:
    """The demonstration on any other model: facts of the graph that it recalls."""
    with working(f"Loading {model}") as advance:
        from kg_cache.settings import Settings
        from kgedit.editor import Editor
        from kgedit.lm.sources.catalogue import FETCHABLE
        from kgedit.lm.sources.fetch import fetch
        from kgedit.trials.demo import METHODS, demonstrate

        if model in FETCHABLE:
            fetch(model, Settings().cache_dir, progress=advance)
        source = "collect" if moments is None else moments_source(moments)
        editor = Editor.from_pretrained(
            model, method=METHODS[0], graph=graph, moments=source, seed=seed, progress=advance, **loading
        )
        report = demonstrate(editor, edits=edits, seed=seed, progress=advance)
    emit(report.model_dump(mode="json"), lambda: _shown_recalled(report), as_json=as_json)


def _shown_recalled(report: RecalledDemo) -> Iterator[RenderableType]:
    from kgedit.trials.measure import SCORED

    names = list(report.figures)
    rows: list[tuple[object, ...]] = []
    for edit in report.edits:
        said = [marked(edit.said[name], edit.said[name].startswith(edit.new)) for name in names]
        rows.append((edit.prompt, edit.old, edit.new, *said))
    yield line(
        f"{report.model}: facts that it recalls, each changed alone and put back. Asked the edit prompt:", "bold"
    )
    yield table(["prompt", "so far", "shall be", *names], rows, wide=0)
    shares = [
        (name, *(percent(means.get(measure)) for measure in SCORED), _seconds(report.seconds_per_edit.get(name)))
        for name, means in report.figures.items()
    ]
    title = f"Means over {len(report.edits)} edits (seed {report.seed})"
    headings = ["new more probable", "in other words", "neighbours keep theirs", "says it", "says it in other words"]
    yield table(["method", *headings, "per edit"], shares, title=title, numbers=len(headings) + 1)
    for note in report.notes:
        yield line(note)
    yield line(f"Neighbours are other subjects with the old object. {report.seconds:.0f} s.")


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
