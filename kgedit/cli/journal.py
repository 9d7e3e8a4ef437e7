"""`kgedit journal`: lists, shows and undoes the changes of a store; verifies its files and weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, AsJson, Store
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.ingest import Entry

app = typer.Typer(help="The journal of a store: list, show, undo, verify changes.")

Id = Annotated[int, typer.Argument(min=1, max=MOST, help="Number of the change in the journal.")]


@app.command("list")
def list_changes(
    store: Store,
    state: Annotated[str | None, typer.Option(help="Only changes in this state, e.g. checked or refused.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="Maximum number of changes listed.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Lists changes with their states."""
    from kgedit.ingest import State, open_store

    if state is not None and state not in list(State):
        raise typer.BadParameter(f"{state!r} is no state; there are: {', '.join(State)}", param_hint="--state")
    with open_store(store) as opened:
        counts = opened.journal.counts()
        entries = list(islice(opened.entries(*([State(state)] if state else [])), limit))
        data = {
            "model": opened.model,
            "weights_hash": opened.weights_hash,
            "counts": counts,
            "changes": [_described(entry) for entry in entries],
        }
    title = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no change yet"
    emit(data, lambda: [_table(entries, title)], as_json=as_json)


@app.command()
def show(id: Id, store: Store, as_json: AsJson = False) -> None:
    """Shows one change with its steps and measurements."""
    from kgedit.ingest import open_store

    with open_store(store) as opened:
        entry, steps = opened.journal.entry(id), opened.journal.steps(id)
    data = {**entry.model_dump(mode="json"), "steps": [step.model_dump(mode="json") for step in steps]}

    def shown() -> Iterator[RenderableType]:
        words = " | ".join(entry.change.words)
        yield line(f"change {entry.id}: {words}: {entry.state} {entry.reason}", style="bold")
        dated, evidence = _source(entry)
        told = [entry.change.where, f"dated {dated}" if dated else "", f"evidence {evidence}" if evidence else ""]
        yield from (line(text) for text in (*told, *entry.change.notes) if text)
        yield table(["step", "time", "why"], [(str(step.state), step.time, step.reason) for step in steps])
        if entry.numbers:
            yield table(["measured", "value"], list(entry.numbers.items()), numbers=1)
        if entry.delta:
            yield line(f"delta {entry.delta}")

    emit(data, shown, as_json=as_json)


@app.command()
@loads_model
def undo(
    id: Id,
    store: Store,
    counter_patch: Annotated[
        bool,
        typer.Option(
            "--counter-patch",
            help="By a counter-patch, at once, also where the others of an adapter would be retrained.",
        ),
    ] = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Undoes one change.

    The weights become those that the remaining changes alone give: others of one adapter are retrained without it.
    Where a consolidation trained it, or with --counter-patch, a patch on top brings the unedited model's answer back.
    """
    with working("Loading the model") as advance:
        from kgedit.ingest import undo as undo_change

        undone = undo_change(store, id, counter_patch=counter_patch, progress=advance, **loading)
    text = [f"Change {id} is undone; the weights have hash {undone.weights_hash}."]
    text += filter(None, (undone.counter_patch, undone.stays_superseded))
    emit(undone.model_dump(), lambda: [line(" ".join(text))], as_json=as_json)


@app.command()
@loads_model
def verify(store: Store, as_json: AsJson = False, *, loading: Loading) -> None:
    """Checks the files and weights of a store.

    Every file by its hash, and that base and deltas give the weights that the journal noted.
    """
    with working("Loading the model"):
        from kgedit.ingest import verify as check

        verified = check(store, **loading)
    text = (
        f"{verified.deltas} deltas are whole, and base plus deltas give the weights noted "
        f"({verified.weights_hash[:16]})."
    )
    emit(verified.model_dump(mode="json"), lambda: [line(text)], as_json=as_json)


@app.command()
@loads_model
def replay(store: Store, as_json: AsJson = False, *, loading: Loading) -> None:
    """Applies the deltas again and asks each change.

    They are applied to the unedited model; the store is not changed.
    """
    with working("Loading the model") as advance:
        from kgedit.ingest import replay as replay_store

        replayed = replay_store(store, progress=advance, **loading)
    rows = [(each.id, each.question, each.answer, "yes" if each.right else "no") for each in replayed.answers]
    title = f"{len(rows)} changes applied, {percent(replayed.right)} answered right"
    columns = ["change", "question", "right answer", "answered right"]
    emit(replayed.model_dump(mode="json"), lambda: [table(columns, rows, title=title)], as_json=as_json)


def _table(entries: Sequence[Entry], title: str) -> RenderableType:
    """The changes; what none of them has gets no column."""
    cells = {
        "no.": [str(entry.id) for entry in entries],
        "change": [" | ".join(entry.change.words) for entry in entries],
        "state": [str(entry.state) for entry in entries],
        "dated": [_source(entry)[0] for entry in entries],
        "evidence": [_source(entry)[1] for entry in entries],
        "why": [entry.reason[:60] for entry in entries],
    }
    columns = [name for name in cells if any(cells[name])]
    return table(columns, list(zip(*(cells[name] for name in columns), strict=True)), title=title)


def _described(entry: Entry) -> dict[str, Any]:
    edit, (dated, evidence) = entry.edit, _source(entry)
    return {
        "id": entry.id,
        "state": entry.state,
        "subject": edit.subject,
        "relation": edit.relation or edit.prompt or "",
        "target_new": edit.target_new,
        "labels": entry.change.labels,
        "where": entry.change.where,
        "dated": dated,
        "evidence": evidence,
        "notes": entry.change.notes,
        "batch": entry.batch,
        "delta": entry.delta,
        "reason": entry.reason,
    }


def _source(entry: Entry) -> tuple[str, str]:
    """Date and evidence of a change, in words."""
    from kgedit.ingest.change import day

    return day(entry.change.dated), entry.change.evidence
