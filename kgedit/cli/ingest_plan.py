"""`kgedit ingest plan`: classifies each record of a feed, and changes nothing; also the options of feeds."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, AsJson, Force, Graph, Model
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from kgedit.ingest import FeedOptions, Plan, Planned, Verdict


class Policy(StrEnum):
    """Which record counts when several disagree about a fact."""

    REFUSE = "refuse"
    LAST = "last-wins"
    NEWEST = "newest-evidence"


FeedName = Annotated[str, typer.Argument(help='A file; for "wikidata" item ids, comma-separated; else "stream".')]
Format = Annotated[
    str | None,
    typer.Option("--format", help="jsonl, json, csv (which a file's ending tells), difference, wikidata or stream."),
]
Mapped = Annotated[
    list[str] | None,
    typer.Option("--map", help="column=field, where a file's columns have other names; may be repeated."),
]
Before = Annotated[Path | None, typer.Option(help="The older graph of a difference: a graph file or N-Triples.")]
Properties = Annotated[
    list[str] | None, typer.Option("--property", help="Only this property, e.g. P27; may be repeated.")
]
Entities = Annotated[
    list[str] | None, typer.Option("--entity", help="Only this item's events of a stream; may be repeated.")
]
Since = Annotated[str | None, typer.Option(help="Where a stream starts: a time, or an earlier change's position.")]
Limit = Annotated[int | None, typer.Option(min=1, max=MOST, help="Maximum number of events read of a stream.")]
PolicyOption = Annotated[Policy, typer.Option(help="Which record counts when several disagree about a fact.")]
AnyKind = Annotated[
    bool, typer.Option("--any-kind", help="Also accept changes that the graph or the wording speaks against.")
]

AnySubject = Annotated[
    bool,
    typer.Option(
        "--any-subject", help="Also accept changes of subjects of which the model knows none of the facts asked."
    ),
]


@loads_model
def plan(
    feed: FeedName,
    model: Model = "mini",
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
    out: Annotated[Path | None, typer.Option(help="Save the whole plan here, as JSON lines.")] = None,
    force: Force = False,
    show: Annotated[int, typer.Option(min=0, max=MOST, help="Maximum number of records listed.")] = 20,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Classifies each record of a feed; changes nothing.

    The classes are new, known, duplicate, conflict and others, see docs/ingestion.md.
    """
    options = feed_options(map, before, property, entity, since, limit)
    with working(f"Loading {model}") as advance:
        from kgedit.editor import Editor
        from kgedit.ingest import Plan, make_plan, open_feed

        if out is not None:
            Plan.check_free(out, force=force)
        source = open_feed(feed, format, options)
        editor = Editor.from_pretrained(model, method=None, graph=graph, progress=advance, **loading)
        made = make_plan(
            source, editor, policy=policy.value, check_kinds=not any_kind, any_subject=any_subject, progress=advance
        )
        if out is not None:
            made.save(out)
    listed = list(islice(noteworthy(made), show))
    data: dict[str, Any] = {
        **made.header.model_dump(),
        "feed": source.name,
        "records": len(made),
        "counts": {verdict.value: number for verdict, number in made.counts.items()},
        "passed_over": dict(source.skipped),
        "listed": [described(item) for item in listed],
        "out": None if out is None else str(out),
    }
    emit(data, lambda: shown(made, source.skipped, listed, out), as_json=as_json)


def feed_options(
    mapped: list[str] | None,
    before: Path | None,
    properties: list[str] | None,
    entities: list[str] | None,
    since: str | None,
    limit: int | None,
) -> FeedOptions:
    """The options of a feed as they stand on the command line.

    Raises:
        BadParameter: A mapping is not column=field, or names a column twice.
    """
    from kgedit.ingest import FeedOptions

    columns: dict[str, str] = {}
    for pair in mapped or []:
        column, equals, field = pair.rpartition("=")
        if not (equals and column and field) or column in columns:
            raise typer.BadParameter(f"{pair!r} is not column=field, or names a column again", param_hint="--map")
        columns[column] = field
    return FeedOptions(columns, before, tuple(properties or ()), tuple(entities or ()), since, limit)


def noteworthy(plan: Plan) -> Iterator[Planned]:
    """The records of a plan worth listing: those with a problem, then the new ones."""
    from kgedit.ingest import Verdict

    last = (Verdict.NEW, *_quiet())
    yield from (item for item in plan if item.verdict not in last)
    yield from plan.of(Verdict.NEW)


def _quiet() -> tuple[Verdict, ...]:
    """Classes in which there is nothing to do."""
    from kgedit.ingest import Verdict

    return (Verdict.KNOWN, Verdict.DUPLICATE)


def described(item: Planned) -> dict[str, Any]:
    """One record as JSON."""
    from kgedit.ingest.change import day, words

    change = item.change
    return {
        "number": item.number,
        "verdict": item.verdict.value,
        "where": item.where,
        "change": " | ".join(words(item.edit or change.edit, item.labels)) if change else None,
        "dated": day(item.dated),
        "evidence": (change.provenance.evidence or "") if change else "",
        "reason": item.reason,
    }


def shown(
    plan: Plan, skipped: Counter[str] | Mapping[str, int], listed: list[Planned], out: Path | None
) -> Iterator[RenderableType]:
    """The plan as tables."""
    counts = [(verdict.value, number) for verdict, number in plan.counts.items() if number]
    header = plan.header
    title = f"{len(plan)} records for {header.model} (names from {header.graph}, conflicts: {header.policy})"
    yield table(["class", "records"], counts, title=title, numbers=1)
    if skipped:
        yield table(["passed over", "times"], list(skipped.items()), numbers=1)
    if listed:
        told = [described(item) for item in listed]
        columns = {"where": "record", "verdict": "class", "change": "change", "dated": "dated", "evidence": "evidence"}
        # Where no record has a date or evidence, there is no column for it.
        kept = [name for name in columns if any(record[name] for record in told)]
        rows = [tuple(record[name] or "" for name in (*kept, "reason")) for record in told]
        yield table([*(columns[name] for name in kept), "why"], rows, wide=len(kept))
    quiet = sum(plan.counts.get(verdict, 0) for verdict in _quiet())
    if hidden := len(plan) - quiet - len(listed):
        yield line(f"{hidden} more of these are not listed; --show {len(plan)} lists all.")
    if quiet:
        yield line(f"{quiet} known or duplicate records are never listed; --out saves the whole plan.")
    if out is not None:
        yield line(f"The whole plan is in {out}.")
