"""`kgedit ingest consolidate`: trains all changes of a store into one delta, and drops their patches."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.ingest_refusals import refusals
from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, MOST_SEED, AsJson, GuardMode, GuardOption, Moments, Store, moments_source
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.ingest import Consolidated


ConsolidateAfter = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        help="Train all changes into one adapter whenever so many were decided since the last time.",
    ),
]


Closure = Annotated[
    float | None,
    typer.Option(
        "--closure",
        min=0.01,
        max=1,
        help="Also make what follows from the changes by rules of the graph that hold so often, e.g. 0.9 "
        "(see `kgedit graph rules`).",
    ),
]


def with_closure(closure: float | None) -> dict[str, dict[str, Any]] | None:
    """The settings that the option stands for."""
    return None if closure is None else {"ingest": {"closure": closure}}


class Into(StrEnum):
    """What the changes are trained into."""

    ADAPTER = "adapter"
    MATRIX = "matrix"


_METHODS = {Into.ADAPTER: "finetune-adapter", Into.MATRIX: "locft"}


@loads_model
def consolidate(
    store: Store,
    into: Annotated[
        Into | None,
        typer.Option(help="A LoRA adapter (finetune-adapter) or one matrix (locft); an adapter by default."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="The method by its name, settings behind it: locft:layer=4, say.")
    ] = None,
    refused: Annotated[
        bool, typer.Option("--refused/--live-only", help="Also try the changes that patching refused.")
    ] = True,
    anew: Annotated[
        bool, typer.Option("--anew", help="Train from the unedited model, and do not read the deltas in force.")
    ] = False,
    without: Annotated[
        list[int] | None, typer.Option(min=1, max=MOST, help="A change to be undone: it is not trained.")
    ] = None,
    closure: Closure = None,
    guard: GuardOption = GuardMode.REFUSE,
    moments: Moments = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of all draws.")] = 0,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Trains all changes in force into one delta.

    What it does not hold stays a patch. The exit code is 1 if nothing was accepted; the store is as it was then.
    """
    chosen = method or _METHODS[into or Into.ADAPTER]
    if into is not None and chosen.split(":")[0] != _METHODS[into]:
        raise typer.BadParameter(
            f"{chosen.split(':')[0]} does not train one {into}; leave out --into or --method", param_hint="--into"
        )
    with working("Loading the model") as advance:
        from kgedit.ingest import consolidate as train

        result = train(
            store, method=chosen, refused=refused, anew=anew, without=without or (), guard=guard.value,
            moments=moments_source(moments), seed=seed, settings=with_closure(closure), progress=advance, **loading,
        )  # fmt: skip
    emit(result.model_dump(mode="json"), lambda: _shown(result), as_json=as_json)
    if not result.switched:
        raise typer.Exit(1)


def _shown(result: Consolidated) -> Iterator[RenderableType]:
    if not result.switched:
        yield line(f"Nothing is consolidated: {result.method} held none of {result.asked} changes.", style="bold")
        yield refusals(result.failed, "why not")
        return
    yield table(
        ["trained", "patches on top", "of these refused before", "refused now", "right", "unrelated facts recalled"],
        [
            (
                result.trained,
                result.patches,
                result.tried_again,
                len(result.refused),
                percent(result.accepted_right),
                f"{percent(result.unrelated_recalled)} of {result.unrelated_asked}",
            )
        ],
        title=f"{result.asked} changes consolidated by {result.method} in {result.seconds:.0f} s",
        numbers=6,
    )
    if result.refused:
        yield refusals(result.refused)
    yield line(f"delta {result.delta}")
