"""`kgedit export gguf-lora` and `kgedit export gguf`: edits for llama.cpp and Ollama, as one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import AsJson, Force, store_folder
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working
from kgedit.io.existing import refuse_existing
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from kgedit.delta import LowRankDelta
    from kgedit.progress import Progress


Store = Annotated[Path | None, typer.Option("--store", callback=store_folder, help="Folder of a journal.")]
Deltas = Annotated[
    list[Path] | None, typer.Option("--delta", help="Folder that `kgedit edit` wrote; several are put together.")
]
Model = Annotated[str | None, typer.Option("--model", help="Model of the deltas; a store knows its own.")]
Out = Annotated[Path, typer.Option("--out", help="GGUF file to write.")]


_NO_EDITS = "give either --store, or --model and one or more --delta"


class Precision(StrEnum):
    """Of the matrices in a merged file."""

    F16 = "f16"
    Q8_0 = "q8_0"


@loads_model
def gguf_lora(
    out: Out,
    store: Store = None,
    delta: Deltas = None,
    model: Model = None,
    force: Force = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Writes a GGUF LoRA adapter of some kilobytes.

    llama.cpp and Ollama apply it to the unedited model's file.
    """
    refuse_existing(out, force=force)
    with working("Loading the model") as advance:
        from kgedit.delta.facts import facts_changed
        from kgedit.delta.gguf.lora import export_gguf_lora

        composed, loaded, _ = _edits(store, delta, model, advance, loading)
        if composed is None:
            raise typer.BadParameter(_NO_EDITS)
        if out.exists():
            _base_file(loaded, out)
        export_gguf_lora(composed, loaded, out)
    rows = [(update.name, update.rank) for update in composed.updates]
    data = {
        "out": str(out),
        "bytes": out.stat().st_size,
        "rank": composed.rank,
        "ranks": dict(rows),
        "facts": facts_changed(composed),
        "base": getattr(loaded.config, "gguf_source", None),
    }
    title = f"{out}, {out.stat().st_size:,} bytes"
    shown = [
        table(["weight", "rank"], rows, title=title, numbers=1),
        line(f'llama-cli -m BASE.gguf --lora {out} -p "..."'),
    ]
    emit(data, lambda: shown, as_json=as_json)


@loads_model
def gguf(
    out: Out,
    store: Store = None,
    delta: Deltas = None,
    model: Model = None,
    precision: Annotated[Precision, typer.Option(help="Of the matrices.")] = Precision.F16,
    force: Force = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Writes the edited model as a GGUF file.

    A model that came from a GGUF file leaves as that file, copied but for the edits. Others are converted: gpt2,
    llama, qwen2, qwen3 and more, with a byte-level tokenizer. With --model alone it is the unedited model.
    """
    refuse_existing(out, force=force)
    with working("Loading the model") as advance:
        from kgedit.delta.gguf.from_file import gguf_from_file
        from kgedit.delta.gguf.from_model import gguf_from_model

        composed, loaded, tokenizer = _edits(store, delta, model, advance, loading)
        base = _base_file(loaded, out)
        how: Any = {"precision": precision.value, "progress": advance}
        if base is not None:
            gguf_from_file(composed, base, out, config=loaded.config, **how)
        else:
            gguf_from_model(loaded, tokenizer, out, delta=composed, **how)
    data = {
        "out": str(out),
        "bytes": out.stat().st_size,
        "precision": precision.value,
        "base": None if base is None else str(base),
    }
    emit(data, lambda: [line(f"{out}, {out.stat().st_size:,} bytes, {precision.value}")], as_json=as_json)


def _base_file(loaded: PreTrainedModel, out: Path) -> Path | None:
    """The GGUF file that the model came from, if it did and the file is there.

    Raises:
        SettingError: The result would be written over it, or over a file of the model's folder.
    """
    from kg_cache.settings import Settings
    from kgedit.errors import SettingError
    from kgedit.lm.sources.convert import source_file

    source = getattr(loaded.config, "gguf_source", None)
    base = source_file(source["sha256"], Settings().cache_dir) if source else None
    if out.exists():
        folder = str(loaded.config.name_or_path or "")
        of_folder = folder and out.suffix != ".gguf" and Path(folder).is_dir() and out.parent.samefile(folder)
        if of_folder or (base is not None and out.samefile(base)):
            raise SettingError(
                f"{out} is the file of the model itself, which --force does not replace; name another one"
            )
    return base


def _edits(
    store: Path | None, deltas: list[Path] | None, model: str | None, progress: Progress, loading: Loading
) -> tuple[LowRankDelta | None, PreTrainedModel, PreTrainedTokenizerBase]:
    """The edits of a store or of folders as one delta, if any, the model with them applied, and its tokenizer."""
    if (store is None) == (not deltas and model is None) or (store is not None and (deltas or model is not None)):
        raise typer.BadParameter(_NO_EDITS)
    if store is not None:
        from kgedit.ingest.exports.composed import composed_of

        return composed_of(store, **loading)
    from kgedit.delta import Delta, DeltaStack
    from kgedit.delta.facts import check_agreeing
    from kgedit.delta.low_rank import as_low_rank
    from kgedit.delta.vocabulary import check_vocabulary
    from kgedit.lm.load import load_model

    given = [Delta.load(folder) for folder in deltas or ()]
    check_agreeing(given)
    loaded, tokenizer = load_model(model or "mini", progress=progress, **loading)
    stack = DeltaStack(loaded)
    for each in given:
        check_vocabulary(each, tokenizer)
        stack.apply(each)
    composed = stack.composed()
    return (None if composed is None else as_low_rank(composed)), loaded, tokenizer
