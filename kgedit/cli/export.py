"""`kgedit export`: writes the applied changes of a store as an adapter, a checkpoint, or one delta."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.export_gguf import gguf, gguf_lora
from kgedit.cli.loading import loads_model
from kgedit.cli.options import AsJson, Force, Store
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working
from kgedit.cli.push import push
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from kgedit.ingest import ExportRecord

app = typer.Typer(
    help="Exports the applied changes of a store. All kinds come with a card that lists the changes.",
    short_help="Exports changes: LoRA adapter, checkpoint or delta.",
)

Out = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder to make; an earlier export is replaced, unless it holds other files or was changed."
    ),
]
Rank = Annotated[
    int | None,
    typer.Option(
        "--rank",
        min=1,
        help="Maximum rank per weight (default: no compression); the approximation error is reported.",
    ),
]


@app.command()
@loads_model
def adapter(
    store: Store, out: Out, rank: Rank = None, force: Force = False, as_json: AsJson = False, *, loading: Loading
) -> None:
    """Writes a LoRA adapter that peft loads on the unedited model."""
    _export("adapter", store, out, rank, loading, force=force, as_json=as_json)


@app.command()
@loads_model
def checkpoint(store: Store, out: Out, force: Force = False, as_json: AsJson = False, *, loading: Loading) -> None:
    """Writes the edited model with its tokenizer."""
    _export("checkpoint", store, out, None, loading, force=force, as_json=as_json)


@app.command()
@loads_model
def delta(store: Store, out: Out, force: Force = False, as_json: AsJson = False, *, loading: Loading) -> None:
    """Writes all changes as one delta.

    `Editor.load_delta` and `kgedit ask --delta` apply it to the unedited model.
    """
    _export("delta", store, out, None, loading, force=force, as_json=as_json)


app.command("gguf-lora")(gguf_lora)
app.command("gguf")(gguf)
app.command("push")(push)


def _export(
    kind: str, store: Path, out: Path, rank: int | None, loading: Loading, *, force: bool, as_json: bool
) -> None:
    with working("Loading the model") as advance:
        from kgedit.ingest import export

        record: ExportRecord = export(store, out, kind, rank=rank, force=force, progress=advance, **loading)
    checks = [check for change in record.changes for check in change.checks]
    answered = sum(check.answered for check in checks)
    rows = [(name, number, f"{record.errors.get(name, 0.0):.2e}") for name, number in record.ranks.items()]
    title = f"{record.kind} of {len(record.changes)} changes in {out}; {answered} of {len(checks)} checks hold"
    shown = [
        table(["weight", "rank", "relative error"], rows, title=title, numbers=2) if rows else line(title),
        line(f"kgedit ingest verify {out}"),
    ]
    data = {**record.model_dump(mode="json", by_alias=True), "out": str(out), "checks": len(checks), "held": answered}
    emit(data, lambda: shown, as_json=as_json)
