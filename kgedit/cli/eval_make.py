"""`kgedit eval make`: benchmark files about what a model knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, MOST_SEED, AsJson, Force, Graph, Model
from kgedit.cli.output import emit, table
from kgedit.cli.progress import working
from kgedit.cli.workers import Executor, GpusPerWorker, WorkerCount, worker_plan
from kgedit.io.existing import refuse_existing
from kgedit.lm.loading import Loading
from kgedit.mini import MINI

if TYPE_CHECKING:
    from kgedit.evaluate import MadeBenchmark
    from kgedit.progress import Progress
    from kgedit.workers.pool import WorkerPlan


@loads_model
def make(
    suite: Annotated[Literal["mquake", "counterfact", "reverse"], typer.Option(help="Benchmark to make.")],
    out: Annotated[Path, typer.Option(help="Folder for SUITE-dev.json and SUITE-test.json.")],
    model: Model = MINI,
    graph: Graph = None,
    facts: Annotated[
        int,
        typer.Option(min=64, max=MOST, help="The most facts of the graph that a model other than mini is asked for."),
    ] = 4096,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of everything drawn; the same seed gives the same bytes.")
    ] = 0,
    executor: Executor = "here",
    workers: WorkerCount = None,
    gpus_per_worker: GpusPerWorker = None,
    force: Force = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Makes a benchmark in its original file format from the facts that a model recalls.

    The bundled model's facts are listed. Any other model is asked for facts of the graph, in several wordings.
    """
    plan = worker_plan(executor, workers, gpus_per_worker, loading.get("device"))
    refuse_existing(*(out / f"{suite}-{part}.json" for part in ("dev", "test")), force=force)
    with working(f"Loading {model}") as advance:
        if model == MINI:
            from kgedit.evaluate import make_benchmark

            made = make_benchmark(suite, out, seed=seed, progress=advance, plan=plan)
        else:
            made = _mined(suite, out, model, graph, facts, seed, loading, advance, plan)
    classes = sorted({name for found in made.classes.values() for name in found})
    rows = [(name, *(found.get(name, 0) for found in made.classes.values())) for name in classes]
    rows.append(("all", *made.cases.values()))
    told = "" if made.asked is None else f"; {model} recalls {made.recalled} of {made.asked} facts in several wordings"
    title = f"{' and '.join(made.files.values())} (seed {made.seed}{told})"
    emit(
        made.model_dump(mode="json"),
        lambda: [table(["cases", *made.cases], rows, title=title, numbers=len(made.cases))],
        as_json=as_json,
    )


def _mined(
    suite: str,
    out: Path,
    model: str,
    graph: Path | None,
    facts: int,
    seed: int,
    loading: Loading,
    advance: Progress,
    plan: WorkerPlan | None,
) -> MadeBenchmark:
    from kgedit.editor import Editor
    from kgedit.evaluate.made.asking import StartAsking, asking_workers
    from kgedit.evaluate.made.files import make_recalled_benchmark
    from kgedit.evaluate.made.mined import fact_pool, mine

    editor = Editor.from_pretrained(model, method=None, graph=graph, progress=advance, **loading)
    pool = fact_pool(editor)
    with asking_workers(StartAsking(model, loading), plan) as workers:
        mined = mine(pool, editor.model, editor.tokenizer, most=facts, seed=seed, progress=advance, workers=workers)
    return make_recalled_benchmark(suite, out, mined, model=model, seed=seed)
