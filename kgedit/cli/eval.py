"""`kgedit eval`: compares editing methods on a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from kgedit.cli import eval_compare, eval_make
from kgedit.cli.collecting import may_collect
from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, MOST_SEED, AsJson, Chat, Graph, Model, Moments, System, moments_source
from kgedit.cli.output import console, emit, line
from kgedit.cli.progress import working
from kgedit.cli.workers import Executor, GpusPerWorker, WorkerCount, worker_plan
from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks.table import BUILT_IN, benchmarks
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.evaluate import EvaluationResult

_MAKE = "Makes a benchmark in its original format from facts that a model recalls."
_COMPARE = "Compares finished runs, and takes runs that differ in their seed together."
_NAMED = 5  # cases left out that are listed


class _EvalGroup(TyperGroup):
    """The built-in benchmarks, and those of plugins, which are loaded only when `kgedit eval` is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help."""
        names = super().list_commands(ctx)
        return [*names, *(name for name in benchmarks() if name not in names)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        command = super().get_command(ctx, cmd_name)
        if command is not None or (row := benchmarks().get(cmd_name)) is None:
            return command
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(row.name, help=row.help, short_help=row.help)(evaluate)
        return typer.main.get_command(single)


app = typer.Typer(cls=_EvalGroup, help="Compares editing methods on the field's benchmarks.", no_args_is_help=True)

Style = Literal["zero_shot", "few_shot", "chain_of_thought"]


@loads_model
def evaluate(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="File (.json, .jsonl, also .gz), folder, or data set on the hub.")],
    model: Model = "mini",
    methods: Annotated[
        str,
        typer.Option(
            help="Comma-separated; settings follow a colon, lists as 1-3 or 1+3: rome:key=original or "
            "memit:layers=1-3. The unedited model is always scored; "
            "pasted: the unedited model that reads the new facts in each prompt; "
            "all: that and every method that can run on the model."
        ),
    ] = "unedited,rome,memit,glame",
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Number of records, taken from the beginning of the file.")
    ] = None,
    recalled_only: Annotated[
        bool, typer.Option("--recalled-only", help="Only cases whose facts the unedited model recalls; says how many.")
    ] = False,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Run the methods also where the unedited model recalls next to no case's facts."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of everything drawn.")] = 0,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Keep every edit: each case is edited on top of all earlier ones.")
    ] = False,
    batch_edits: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Number of cases that are edited and scored together.")
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            help="Lengths, e.g. 1,10,100: so many cases are edited, --batch-edits of them at a time (1), and at each "
            "length all so far are asked again and the model is measured as a whole."
        ),
    ] = None,
    asked_at_most: Annotated[
        int,
        typer.Option(
            min=1, max=MOST, help="--sequence: the most cases of a length that are asked more than their edits."
        ),
    ] = 200,
    ability: Annotated[
        Path | None,
        typer.Option(
            help="--sequence: own questions of general ability: beginning, right end, wrong ends; with tabs."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for rows and reports; the same command resumes a stopped run. Nothing is kept without it."
        ),
    ] = None,
    styles: Annotated[
        str,
        typer.Option(
            help="MQuAKE: how questions are asked; comma-separated, of zero_shot, few_shot, chain_of_thought."
        ),
    ] = "zero_shot",
    prompts: Annotated[
        Path | None,
        typer.Option(help="MQuAKE: folder of its published demonstrations, which few_shot and chain_of_thought need."),
    ] = None,
    match: Annotated[
        Literal["begins", "contains", "exact"] | None,
        typer.Option(help="When a generated answer counts as right (default: exact for mini, contains for others)."),
    ] = None,
    protocol: Annotated[
        Literal["published", "free"],
        typer.Option(
            help="free: beside the benchmark's own figures also what the model says by itself, to a natural stop: "
            "in other wordings, as a chat, behind a distraction, negated, as a choice; texts are kept."
        ),
    ] = "published",
    chat: Chat = "never",
    system: System = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Also sample texts, for fluency and for portability as published. Slow.")
    ] = False,
    snippets: Annotated[
        Path | None, typer.Option(help="CounterFact: attribute_snippets.json, for consistency of sampled texts.")
    ] = None,
    zsre_target: Annotated[
        Literal["alt", "answer"],
        typer.Option(help="zsRE: edits write the other answer (alt), or the first right one, as in ROME and MEMIT."),
    ] = "alt",
    graph: Graph = None,
    moments: Moments = None,
    executor: Executor = "here",
    workers: WorkerCount = None,
    gpus_per_worker: GpusPerWorker = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Edits, scores and reverts each record; reports every figure with its 95 % interval."""
    with working(f"Loading {model}") as advance:
        from kgedit.evaluate import EvaluationSettings
        from kgedit.evaluate import evaluate as run

        given = {
            "suite": context.info_name,
            "data": data,
            "model": model,
            "methods": methods,
            "limit": limit,
            "recalled_only": recalled_only,
            "anyway": anyway,
            "seed": seed,
            "sequential": sequential,
            "batch_edits": batch_edits,
            "sequence": lengths_in(sequence),
            "asked_at_most": asked_at_most,
            "ability": ability,
            "styles": [style.strip() for style in styles.split(",") if style.strip()],
            "prompts": prompts,
            "match": match,
            "protocol": protocol,
            "chat": chat,
            "system": system,
            "generate": generate,
            "snippets": snippets,
            "zsre_target": zsre_target,
            "moments": moments_source(moments),
            "graph": graph,
            **loading,
        }
        plan = worker_plan(executor, workers, gpus_per_worker, loading.get("device"))
        result = run(
            EvaluationSettings.model_validate(given), out=out, progress=advance, workers=plan,
            may_collect=may_collect(advance, quiet=as_json),
        )  # fmt: skip
    details = {
        "left_out_cases": [item.model_dump() for item in result.left_out],
        "notes": list(result.notes),
        "seconds": result.seconds,
        "out": None if out is None else str(out),
    }
    emit(result.report.model_dump(mode="json") | details, lambda: _shown(result, out), as_json=as_json)


def lengths_in(text: str | None) -> tuple[int, ...]:
    """The lengths of a sequence; whether they ascend is checked with the other settings.

    Raises:
        EvaluationError: One is no whole number.
    """
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if wrong := [word for word in words if not word.isascii() or not word.isdigit() or len(word) > len(str(MOST))]:
        raise EvaluationError(f"{wrong[0]!r} is no length of a sequence; write whole numbers, e.g. 1,10,100,1000")
    return tuple(int(word) for word in words)


def _shown(result: EvaluationResult, out: Path | None) -> Iterator[RenderableType]:
    from kgedit.evaluate.report.terminal import to_terminal

    yield from to_terminal(result.report, width=console().width)
    for item in result.left_out[:_NAMED]:
        yield line(f"  {item.case}{f' ({item.method})' if item.method else ''}: {item.detail}", "dim")
    if len(result.left_out) > _NAMED:
        yield line(f"  and {len(result.left_out) - _NAMED} more" + (f" in {out}/left_out.jsonl" if out else ""), "dim")
    if result.seconds:
        times = ", ".join(f"{method} {seconds:.1f} s" for method, seconds in result.seconds.items())
        yield line(f"Mean time of a case: {times}.")
    if out is not None:
        yield line(f"Rows, manifest and report.md, .html, .csv, .json are in {out}; single cases in cases.html")


for _row in BUILT_IN:
    app.command(_row.name, help=_row.help, short_help=_row.help)(evaluate)
app.command("make", short_help=_MAKE)(eval_make.make)
app.command("compare", short_help=_COMPARE)(eval_compare.compare)
