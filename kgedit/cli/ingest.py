"""`kgedit ingest`: plans a feed of changes, applies it under guards and a journal, verifies exports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli import ingest_consolidate, ingest_follow, ingest_plan, ingest_report
from kgedit.cli.collecting import may_collect
from kgedit.cli.ingest_consolidate import Closure, ConsolidateAfter, with_closure
from kgedit.cli.ingest_live import LiveTable
from kgedit.cli.ingest_plan import (
    AnyKind,
    AnySubject,
    Before,
    Entities,
    FeedName,
    Format,
    Limit,
    Mapped,
    Policy,
    PolicyOption,
    Properties,
    Since,
    feed_options,
)
from kgedit.cli.ingest_refusals import refusals
from kgedit.cli.ingest_report import ReportFile
from kgedit.cli.loading import loads_model
from kgedit.cli.options import (
    MOST,
    MOST_SEED,
    AsJson,
    Graph,
    GuardMode,
    GuardOption,
    Model,
    Moments,
    Store,
    StoreChat,
    System,
    moments_source,
)
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.ingest import RunResult

# Classes of records that are left out for a reason which a plan gives.
_LEFT_OUT = ("malformed", "unresolved", "implausible", "conflict", "unfamiliar")

app = typer.Typer(help="Plans changes and applies them under guards.")
app.command("plan")(ingest_plan.plan)
app.command("report")(ingest_report.report)
app.command("consolidate")(ingest_consolidate.consolidate)
app.command("follow")(ingest_follow.follow)


IngestMethod = Annotated[
    str | None,
    typer.Option("--method", help="glame, memit ..., or finetune-adapter; by default the one of the model's preset."),
]


@app.command()
@loads_model
def run(
    feed: FeedName,
    store: Store,
    model: Model = "mini",
    method: IngestMethod = None,
    guard: GuardOption = GuardMode.REFUSE,
    batch: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Changes decided together; 16 by default, all for finetune-adapter."),
    ] = None,
    consolidate_after: ConsolidateAfter = None,
    closure: Closure = None,
    format: Format = None,
    map: Mapped = None,
    before: Before = None,
    property: Properties = None,
    entity: Entities = None,
    since: Since = None,
    limit: Limit = None,
    policy: PolicyOption = Policy.REFUSE,
    graph: Graph = None,
    any_kind: AnyKind = False,
    any_subject: AnySubject = False,
    moments: Moments = None,
    chat: StoreChat = None,
    system: System = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of all draws.")] = 0,
    report: ReportFile = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Applies a feed of changes under guards and a journal.

    The same command again resumes where it stopped, or changes nothing.
    """
    options = feed_options(map, before, property, entity, since, limit)
    with working(f"Loading {model}") as advance:
        from kgedit.ingest import run as ingest

        result = ingest(
            store, feed, model=model, method=method, graph=graph, format=format, options=options, policy=policy.value,
            check_kinds=not any_kind, any_subject=any_subject, guard=guard.value, batch=batch,
            consolidate_after=consolidate_after, moments=moments_source(moments), chat=chat, system=system, seed=seed,
            settings=with_closure(closure), report=report, on_decided=LiveTable(advance).show,
            may_collect=may_collect(advance, quiet=as_json), progress=advance, **loading,
        )  # fmt: skip
    emit(result.model_dump(mode="json"), lambda: shown(result, store), as_json=as_json)


@app.command()
@loads_model
def calibrate(
    model: Model = "mini",
    method: IngestMethod = None,
    edits: Annotated[int, typer.Option(min=1, max=MOST, help="Number of edits drawn and tried.")] = 24,
    batch: Annotated[int, typer.Option(min=1, max=MOST, help="Number of edits computed together.")] = 8,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed for drawing edits. Published figures use other seeds.")
    ] = 1000,
    graph: Graph = None,
    moments: Moments = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Proposes thresholds for the guards.

    Measures what the guards measure on harmless edits, and proposes thresholds that accept them.
    """
    with working(f"Loading {model}") as advance:
        from kgedit.ingest import calibrate as measure
        from kgedit.presets import table as preset
        from kgedit.presets import user_file

        calibration = measure(
            model, method=method, edits=edits, batch=batch, seed=seed, graph=graph,
            moments=moments_source(moments), progress=advance, **loading,
        )  # fmt: skip
    proposed = calibration.proposed
    guards = {**preset(model, "guards"), **proposed}  # a table of one's own stands in the place of the package's
    rows = [
        (name, *(f"{q:.4g}" for q in quantiles), f"{proposed[name]:g}" if name in proposed else "")
        for name, quantiles in calibration.quantiles.items()
    ]
    title = f"{calibration.edits} edits by {calibration.method}, drawn with seed {calibration.seed}"
    parts = [
        table(["measured", "5 %", "median", "95 %", "threshold"], rows, title=title, numbers=4),
        line(f"To use these thresholds, write the table into {user_file(model)}:"),
        line("\n".join(["[guards]", *(f"{name} = {value:g}" for name, value in guards.items())])),
    ]
    emit(calibration.model_dump(mode="json"), lambda: parts, as_json=as_json)


@app.command()
@loads_model
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `kgedit export` wrote.")],
    model: Annotated[str | None, typer.Option(help="The unedited model, if it has moved since the export.")] = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Loads an export and asks every change in it.

    The exit code is 1 if an answer is wrong.
    """
    with working("Loading the export"):
        from kgedit.ingest import verify_export

        verified = verify_export(folder, model=model, **loading)
    rows = [(check.change, check.kind, check.question, check.answer) for check in verified.failed]
    title = f"{verified.kind} of {verified.changes} changes: {verified.right} of {verified.checks} checks hold"
    columns = ["change", "check", "question", "right answer"]
    part = table(columns, rows, title=f"{title}; these do not:") if rows else line(title)
    emit(verified.model_dump(mode="json", by_alias=True), lambda: [part], as_json=as_json)
    if not verified.holds:
        raise typer.Exit(1)


def shown(result: RunResult, store: Path) -> Iterator[RenderableType]:
    """Tables of a run."""
    if not result.changed:
        yield line(_unchanged(result), style="bold")
    kept = percent(result.unrelated_recalled if result.unrelated_asked else None)
    rows = [(name, number) for name, number in result.classes.items() if number]
    yield table(["class", "records"], rows, title=f"{result.records} records of {result.feed}", numbers=1)
    if any(result.classes.get(name) for name in _LEFT_OUT):
        yield line("Only new ones are applied; the page of --report lists the others with their reasons.")
    yield table(
        ["accepted", "refused", "superseded", "accepted still right", "unrelated facts recalled"],
        [
            (
                result.accepted,
                result.refused,
                result.superseded,
                percent(result.accepted_right if result.accepted else None),
                f"{kept} of {result.unrelated_asked}",
            )
        ],
        title=f"The store now, with {result.method} in {result.seconds:.0f} s",
        numbers=5,
    )
    if result.accepted_right_in_chat is not None:
        yield line(f"Accepted changes that are right in a chat: {percent(result.accepted_right_in_chat)}.")
    yield line(f"The guards watched {result.watched} other facts that the unedited model recalls.")
    if result.refusals:
        yield refusals(result.refusals)
    yield from (line(note) for note in result.notes)
    yield line(f"kgedit journal list --store {store}")


def _unchanged(result: RunResult) -> str:
    """Why a run decided nothing."""
    if not result.records:
        return "Nothing changed: the feed has no record."
    if any(result.classes.get(name) for name in ("new", "duplicate")):
        return (
            "Nothing changed: every change of this feed was decided before. One that was refused or undone is tried "
            "again from a file of another name."
        )
    if result.classes.get("known") == result.records:
        return "Nothing changed: the model answers every change of this feed already."
    return f"Nothing changed: no record of this feed can be applied ({result.records} were read)."
