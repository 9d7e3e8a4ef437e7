"""`kgedit ingest`: plan a feed of changes, and apply it under guards and a journal."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli import ingest_plan, ingest_report
from kgedit.cli.ingest_live import LiveTable
from kgedit.cli.ingest_plan import (
    AnyKind,
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
    opened,
)
from kgedit.cli.ingest_report import ReportFile
from kgedit.cli.options import AsJson, Graph, Model, Store
from kgedit.cli.output import emit, line, percent, table, working

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.ingest.runner import RunResult

app = typer.Typer(help="Batch ingestion of fact changes: plan them, apply them under guards, undo any of them.")
app.command("plan")(ingest_plan.plan)
app.command("report")(ingest_report.report)


class GuardMode(StrEnum):
    """What happens where a guard fails."""

    REFUSE = "refuse"
    WARN = "warn"


IngestMethod = Annotated[str, typer.Option("--method", help="glame, memit, rome ..., or finetune-adapter.")]
GuardOption = Annotated[GuardMode, typer.Option("--guard", help="What happens where a guard fails.")]


@app.command()
def run(
    feed: FeedName,
    store: Store,
    model: Model = "mini",
    method: IngestMethod = "glame",
    guard: GuardOption = GuardMode.REFUSE,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Changes decided together; 16 by default, all for finetune-adapter.")
    ] = None,
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
    seed: Annotated[int, typer.Option(help="Seed of whatever is drawn.")] = 0,
    report: ReportFile = None,
    as_json: AsJson = False,
) -> None:
    """Applies a feed of changes; the same command again goes on where it stopped, or changes nothing."""
    source = opened(feed, format, feed_options(map, before, property, entity, since, limit))
    with working(f"Loading {model}") as advance:
        from kgedit.ingest.runner import fingerprint
        from kgedit.ingest.runner import run as ingest
        from kgedit.ingest.session import open_session

        parts = (source.name, policy.value, str(any_kind), str(before), str(sorted(map or [])))
        with open_session(
            store, model=model, method=method, graph=graph, guard=guard.value, seed=seed, progress=advance
        ) as session:
            result = ingest(
                session,
                source.name,
                source,
                fingerprint=fingerprint(Path(feed), *parts) if Path(feed).is_file() else None,
                policy=policy.value,
                batch=batch,
                check_kinds=not any_kind,
                told=LiveTable(advance).told,
            )
            if report is not None:
                ingest_report.write(session, report, advance)
    emit(result.model_dump(mode="json"), lambda: shown(result, store), as_json=as_json)


@app.command()
def calibrate(
    model: Model = "mini",
    method: IngestMethod = "glame",
    edits: Annotated[int, typer.Option(min=1, help="Edits drawn and tried.")] = 24,
    batch: Annotated[int, typer.Option(min=1, help="Edits written together.")] = 8,
    seed: Annotated[int, typer.Option(help="Draws the edits; those of other seeds are measured on.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measures what the guards would see of harmless edits, and says which thresholds let them through."""
    with working(f"Loading {model}") as advance:
        from kgedit.ingest.calibrate import calibrate as measure

        found = measure(model, method=method, edits=edits, batch=batch, seed=seed, progress=advance)
    rows = [
        (name, *(f"{q:.4g}" for q in quantiles), "" if name not in found.proposed else f"{found.proposed[name]:g}")
        for name, quantiles in found.quantiles.items()
    ]
    title = f"{found.edits} edits by {found.method}, drawn with seed {found.seed}"
    emit(
        found.model_dump(mode="json"),
        lambda: [table(["measured", "5 %", "median", "95 %", "threshold"], rows, title=title, numbers=4)],
        as_json=as_json,
    )


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `kgedit export` wrote.")],
    model: Annotated[str | None, typer.Option(help="The unedited model, if not where it was then.")] = None,
    as_json: AsJson = False,
) -> None:
    """Loads an export afresh and asks every change in it again; exit code 1 if one does not hold."""
    with working("Loading the export"):
        from kgedit.ingest.exports.verify import verify_export

        found = verify_export(folder, model=model)
    rows = [(one.change, one.kind, one.question, one.answer) for one in found.failed]
    title = f"{found.kind} of {found.changes} changes: {found.right} of {found.checks} checks hold"
    columns = ["change", "check", "question", "right answer"]
    part = table(columns, rows, title=f"{title}; these do not:") if rows else line(title)
    emit(found.model_dump(mode="json"), lambda: [part], as_json=as_json)
    if not found.holds:
        raise typer.Exit(1)


def shown(result: RunResult, store: Path) -> Iterator[RenderableType]:
    """A run for a reader."""
    if not result.changed:
        yield line("Nothing changed: every change of this feed was decided before.", style="bold")
    rows = [(name, number) for name, number in result.classes.items() if number]
    yield table(["class", "records"], rows, title=f"{result.records} records of {result.feed}", numbers=1)
    yield table(
        ["accepted", "refused", "superseded", "accepted still right", "unrelated facts recalled"],
        [
            (
                result.accepted,
                result.refused,
                result.superseded,
                percent(result.accepted_right),
                f"{percent(result.unrelated_recalled)} of {result.unrelated_asked}",
            )
        ],
        title=f"by {result.method} in {result.seconds:.0f} s",
        numbers=5,
    )
    if result.refusals:
        rows_refused = [
            (one.id, one.subject, one.relation or "", one.target_new, one.reason) for one in result.refusals
        ]
        yield table(["change", "subject", "relation", "new object", "why refused"], rows_refused[:40])
    yield line(f"kgedit journal list --store {store}")
