"""Writes the model card of an export: its kind, how to load it, and every change that it carries."""

from __future__ import annotations

import re

from kg_cache.text import printable
from kgedit.ingest.exports.manifest import ExportKind, ExportRecord

_LOADING = {
    ExportKind.ADAPTER: (
        "peft",
        "model = AutoModelForCausalLM.from_pretrained(BASE)\nmodel = PeftModel.from_pretrained(model, FOLDER)",
    ),
    ExportKind.CHECKPOINT: ("transformers", "model = AutoModelForCausalLM.from_pretrained(FOLDER)"),
    ExportKind.DELTA: ("kgedit", "Delta.load(FOLDER, model).apply(model)  # the unedited model"),
}


def card(record: ExportRecord) -> str:
    """Markdown with the metadata block of the Hugging Face hub."""
    library, loading = _LOADING[record.kind]
    count = len(record.changes)
    lines = [
        "---",
        f"library_name: {library}",
        *([f"base_model: {record.model}"] if re.fullmatch(r"[\w.-]+/[\w.-]+", record.model) else []),
        "tags: [knowledge-editing, kgedit]",
        "---",
        "",
        f"# {_cell(record.model)} with {count} changed {'fact' if count == 1 else 'facts'}",
        "",
        f"This {record.kind} carries the changes below. `kgedit ingest verify` loads it and asks each of them again.",
        "",
        "```python",
        loading,
        "```",
        "",
        f"- unedited model: {_cell(record.model)}, weights of hash `{record.base_hash}`",
        f"- edited weights: hash `{record.weights_hash}`",
    ]
    for name, rank in record.ranks.items():
        lost = f", relative error of the compression {record.errors[name]:.2e}" if name in record.errors else ""
        lines.append(f"- `{name}`: rank {rank}{lost}")
    lines += ["", "## Changes", "", "| no. | prompt | new answer | subject | relation | source |", "|-|-|-|-|-|-|"]
    for change in record.changes:
        first = change.checks[0]
        cells = (change.id, first.question, first.answer, change.subject, change.relation or "", change.source)
        lines.append(f"| {' | '.join(_cell(str(cell)) for cell in cells)} |")
    return printable("\n".join(lines) + "\n")


def _cell(text: str) -> str:
    """Text from a feed that can neither leave its cell nor become markup."""
    return re.sub(r"([\\|<>\[\]`*_])", r"\\\1", " ".join(text.split()))
