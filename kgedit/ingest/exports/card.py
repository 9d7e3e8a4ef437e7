"""Writes the model card of an export: its kind, how to load it, and every change that it carries."""

from __future__ import annotations

from collections.abc import Iterator

from kg_cache.text import printable
from kgedit.ingest.exports.manifest import ExportedChange, ExportKind, ExportRecord
from kgedit.io.hub import is_hub_id
from kgedit.io.markdown import cell, literal, rows
from kgedit.lm.base_name import hub_id

_LIBRARIES = {ExportKind.ADAPTER: "peft", ExportKind.CHECKPOINT: "transformers", ExportKind.DELTA: "kgedit"}
_COLUMNS = ("no.", "prompt", "new answer", "subject", "relation", "dated", "evidence", "source")


def card(record: ExportRecord, place: str = ".") -> str:
    """Markdown with the metadata block of the Hugging Face hub.

    Args:
        record: The export.
        place: Where it is loaded from: the folder of the card, or "owner/name" on the hub.
    """
    count = len(record.changes)
    lines = [
        "---",
        f"library_name: {_LIBRARIES[record.kind]}",
        *([f"base_model: {base}"] if (base := hub_id(record.model)) else []),
        "tags: [knowledge-editing, kgedit]",
        "---",
        "",
        f"# {cell(record.model)} with {count} changed {'fact' if count == 1 else 'facts'}",
        "",
        f"This {record.kind} carries the changes below. `kgedit ingest verify` loads it and asks each of them again.",
        "In the folder of this file:" if place == "." else "From the hub:",
        "",
        "```python",
        *_snippet(record, literal(place)),
        "```",
        "",
        f"- unedited model: {cell(record.model)}, weights of hash `{record.base_hash}`",
        f"- edited weights: hash `{record.weights_hash}`",
    ]
    for name, rank in record.ranks.items():
        lost = f", relative error of the compression {record.errors[name]:.2e}" if name in record.errors else ""
        lines.append(f"- `{name}`: rank {rank}{lost}")
    lines += [f"- {_figures(record)}", "", "## Changes", "", *rows(_COLUMNS, map(_cells, record.changes))]
    return printable("\n".join(lines) + "\n")


def _figures(record: ExportRecord) -> str:
    """How many questions the edited model answered right when the export was made."""
    asked = [check for change in record.changes for check in change.checks]
    counts = []
    for kind, words in (("efficacy", "edit prompts"), ("wordings", "other wordings")):
        answered = [check.answered for check in asked if check.kind == kind]
        counts += [f"{sum(answered)} of {len(answered)} {words}"] if answered else []
    return "answered right when it was made: " + ", ".join(counts)


def _snippet(record: ExportRecord, place: str) -> Iterator[str]:
    """Python that loads the export and asks the first change, as it stands."""
    options = "".join(f", {name}={literal(value)}" for name, value in record.loading.items())
    base = f"{literal(record.model)}{options}"
    if record.kind is ExportKind.CHECKPOINT:
        base = place
    elif record.kind is ExportKind.ADAPTER:
        yield "from peft import PeftModel"
    else:
        yield "from kgedit.delta import Delta"
    # Whoever gets an adapter of a model on the hub needs no kgedit.
    if record.kind is ExportKind.CHECKPOINT or (record.kind is ExportKind.ADAPTER and is_hub_id(record.model)):
        yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
        yield ""
        yield f"model, tokenizer = AutoModelForCausalLM.from_pretrained({base}), AutoTokenizer.from_pretrained({base})"
    else:
        yield "from kgedit.lm.load import load_model"
        yield ""
        yield f"model, tokenizer = load_model({base})  # the unedited model"
    if record.kind is ExportKind.ADAPTER:
        yield f"model = PeftModel.from_pretrained(model, {place})"
    elif record.kind is ExportKind.DELTA:
        yield f"Delta.from_pretrained({place}, model).apply(model)"
    yield f"prompt = tokenizer({literal(record.changes[0].checks[0].question)}, return_tensors={literal('pt')})"
    yield "answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)"
    yield "print(tokenizer.decode(answer[0]))"


def _cells(change: ExportedChange) -> Iterator[str]:
    yield from (str(change.id), change.checks[0].question, change.checks[0].answer)
    yield from (change.subject, change.relation or "", change.dated.date().isoformat() if change.dated else "")
    yield from (change.evidence or "", change.source)
