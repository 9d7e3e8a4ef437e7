"""`kgedit eval`: which editor is better, on what, by how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgedit.cli import eval_make
from kgedit.cli.options import AsJson, Graph, Model, Moments, moments_source
from kgedit.cli.output import emit, line, working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.evaluate.run.evaluate import Finished

# Suite -> what its help says first; the suites themselves are in kgedit.evaluate.benchmarks.table.
SUITES = {
    "counterfact": "CounterFact, original or flattened: efficacy, paraphrase, neighborhood, portability.",
    "counterfactplus": "CounterFact with one portability question per record.",
    "zsre": "zsRE, with or without portability: shares of right answer tokens.",
    "mquake": "MQuAKE: multi-hop questions across one to four edited facts.",
    "ripple": "RippleEdits: six criteria for what must change with an edit, and what must not.",
    "knowedit": "KnowEdit: reliability, generality, locality, portability.",
    "known-facts": "Facts to be recalled; nothing is edited.",
}
_NAMED = 5

app = typer.Typer(help="Compares editing methods on the field's benchmarks.", no_args_is_help=True)

Style = Literal["zero_shot", "few_shot", "chain_of_thought"]


def evaluate(
    context: typer.Context,
    data: Annotated[str, typer.Option(help="File (.json, .jsonl, also .gz), folder, or data set on the hub.")],
    model: Model = "mini",
    methods: Annotated[
        str,
        typer.Option(
            help="Comma-separated, each with settings of its own if need be: rome,rome:key=original,"
            "glame:encoder=mlp,glame:paper. The unedited model is always scored."
        ),
    ] = "unedited,rome,memit,glame",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many records, the first of the file.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses every random number.")] = 0,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Edits stay in force, each case's on top of the former's.")
    ] = False,
    batch_edits: Annotated[
        int | None, typer.Option(min=1, help="So many cases are edited at once and scored together.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run, which can be continued there; without it nothing is kept."),
    ] = None,
    styles: Annotated[
        str, typer.Option(help="MQuAKE: how questions are put, of zero_shot, few_shot, chain_of_thought.")
    ] = "zero_shot",
    prompts: Annotated[
        Path | None, typer.Option(help="MQuAKE: folder of its published demonstrations, for the other styles.")
    ] = None,
    match: Annotated[
        Literal["begins", "contains", "exact"] | None,
        typer.Option(help="When a generated answer counts; by default exact for mini, contains for others."),
    ] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Sample texts too: fluency, portability as published. Slow.")
    ] = False,
    snippets: Annotated[
        Path | None, typer.Option(help="CounterFact: attribute_snippets.json, for consistency of sampled texts.")
    ] = None,
    graph: Graph = None,
    moments: Moments = None,
    as_json: AsJson = False,
) -> None:
    """Edits each record, scores it, and takes the edit back; reports every figure with its 95 % interval."""
    with working(f"Loading {model}") as advance:
        from kgedit.evaluate.run.evaluate import evaluate as run
        from kgedit.evaluate.run.settings import EvaluationSettings

        asked = {
            "suite": context.info_name,
            "data": data,
            "model": model,
            "methods": methods,
            "limit": limit,
            "seed": seed,
            "sequential": sequential,
            "batch_edits": batch_edits,
            "styles": [style.strip() for style in styles.split(",") if style.strip()],
            "prompts": prompts,
            "match": match,
            "generate": generate,
            "snippets": snippets,
            "moments": moments_source(moments),
            "store": graph,
        }
        found = run(EvaluationSettings.model_validate(asked), out=out, progress=advance)
    more = {
        "left_out_cases": [item.model_dump() for item in found.left_out],
        "notes": list(found.notes),
        "out": None if out is None else str(out),
    }
    emit(found.report.model_dump(mode="json") | more, lambda: _shown(found, out), as_json=as_json)


def _shown(found: Finished, out: Path | None) -> Iterator[RenderableType]:
    from rich.console import Console

    from kgedit.evaluate.report.terminal import to_terminal

    yield from to_terminal(found.report, width=Console().width)
    for item in found.left_out[:_NAMED]:
        yield line(f"  {item.case}{f' ({item.method})' if item.method else ''}: {item.detail}", "dim")
    if len(found.left_out) > _NAMED:
        yield line(f"  and {len(found.left_out) - _NAMED} more" + (f" in {out}/left_out.jsonl" if out else ""), "dim")
    for note in found.notes:
        yield line(note)
    if out is not None:
        yield line(f"Rows, manifest and report.md, .html, .csv, .json are in {out}")


for _suite, _about in SUITES.items():
    app.command(_suite, help=_about)(evaluate)
app.command("make")(eval_make.make)
