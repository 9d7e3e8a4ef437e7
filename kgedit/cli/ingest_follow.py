"""`kgedit ingest follow`: keeps a model current with Wikidata's edits or a folder of feeds, and publishes adapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.ingest_consolidate import Closure, ConsolidateAfter, with_closure
from kgedit.cli.ingest_plan import AnySubject, Entities, Mapped, Policy, PolicyOption, Properties, feed_options
from kgedit.cli.loading import loads_model
from kgedit.cli.options import (
    MOST,
    MOST_SEED,
    AsJson,
    Graph,
    Model,
    Moments,
    Store,
    StoreChat,
    System,
    moments_source,
)
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.ingest import FollowResult


@loads_model
def follow(
    store: Store,
    source: Annotated[
        str, typer.Argument(help='"stream" for Wikidata\'s edits, or a folder of feed files.')
    ] = "stream",
    model: Model = "mini",
    method: Annotated[
        str | None,
        typer.Option("--method", help="Closed-form method that patches; by default the one of the model's preset."),
    ] = None,
    property: Properties = None,
    entity: Entities = None,
    since: Annotated[str | None, typer.Option(help="Where the stream begins the first time; now by default.")] = None,
    map: Mapped = None,
    policy: PolicyOption = Policy.NEWEST,
    graph: Graph = None,
    any_subject: AnySubject = False,
    batch: Annotated[int, typer.Option(min=1, max=MOST, help="The most changes decided together.")] = 16,
    every: Annotated[
        float, typer.Option(min=1, max=86_400, help="Seconds that changes wait for others, and between two looks.")
    ] = 60.0,
    consolidate_after: ConsolidateAfter = None,
    closure: Closure = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for versions of the adapter and the link `current`.")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, max=MOST, help="Number of versions that stay.")] = 3,
    once: Annotated[bool, typer.Option("--once", help="End at the present: for cron.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Port on this machine for metrics (Prometheus text).")
    ] = None,
    chat: StoreChat = None,
    system: System = None,
    moments: Moments = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of all draws.")] = 0,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Keeps a model current with a stream or a folder.

    Plans and patches in small batches, consolidates by threshold, publishes the adapter. It goes on until it is
    ended; killed or not, the same command goes on where it was.
    """
    options = feed_options(map, None, property, entity, since, None)
    with working(f"Loading {model}") as advance:
        from kgedit.ingest import follow as followed

        result = followed(
            store, source, model=model, method=method, graph=graph, options=options, policy=policy.value,
            any_subject=any_subject, batch=batch, every=every, consolidate_after=consolidate_after, out=out, keep=keep,
            once=once, metrics_port=metrics_port, moments=moments_source(moments), seed=seed, chat=chat, system=system,
            settings=with_closure(closure), progress=advance, **loading,
        )  # fmt: skip
    emit(result.model_dump(mode="json"), lambda: _shown(result, store), as_json=as_json)


def _shown(result: FollowResult, store: Path) -> Iterator[RenderableType]:
    title = f"{result.source}: {result.batches} batches, {result.events} events so far"
    yield table(["class", "records"], list(result.records.items()), title=title, numbers=1)
    yield table(["state", "changes"], list(result.changes.items()), numbers=1)
    if result.bad:
        yield table(["could not be used, the last ones", "why"], [(bad.where, bad.why) for bad in result.bad[-10:]])
    if result.published:
        yield line(f"published {result.published}")
    yield line(f"kgedit journal list --store {store}")
