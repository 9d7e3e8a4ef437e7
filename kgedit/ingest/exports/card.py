"""Writes the model card of an export: its kind, how to load it, and every change that it carries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kg_cache.text import printable
from kgedit.ingest.exports.manifest import ExportedChange, ExportKind, ExportRecord

_LIBRARIES = {ExportKind.ADAPTER: "peft", ExportKind.CHECKPOINT: "transformers", ExportKind.DELTA: "kgedit"}
_COLUMNS = ("no.", "prompt", "new answer", "subject", "relation", "dated", "evidence", "source")


def card(record: ExportRecord) -> str:
    """Markdown with the metadata block of the Hugging Face hub."""
    count = len(record.changes)
    lines = [
        "---",
        f"library_name: {_LIBRARIES[record.kind]}",
        *([f"base_model: {record.model}"] if _is_hub_id(record.model) else []),
        "tags: [knowledge-editing, kgedit]",
        "---",
        "",
        f"# {_cell(record.model)} with {count} changed {'fact' if count == 1 else 'facts'}",
        "",
        f"This {record.kind} carries the changes below. `kgedit ingest verify` loads it and asks each of them again.",
        "In the folder of this file:",
        "",
        "```python",
        *_snippet(record),
        "```",
        "",
        f"- unedited model: {_cell(record.model)}, weights of hash `{record.base_hash}`",
        f"- edited weights: hash `{record.weights_hash}`",
    ]
    for name, rank in record.ranks.items():
        lost = f", relative error of the compression {record.errors[name]:.2e}" if name in record.errors else ""
        lines.append(f"- `{name}`: rank {rank}{lost}")
    lines += ["", "## Changes", "", f"| {' | '.join(_COLUMNS)} |", "|-" * len(_COLUMNS) + "|"]
    lines += [f"| {' | '.join(_cell(cell) for cell in _cells(change))} |" for change in record.changes]
    return printable("\n".join(lines) + "\n")


def _snippet(record: ExportRecord) -> Iterator[str]:
    """Python that loads the export and asks the first change, as it stands."""
    options = "".join(f", {name}={_literal(value)}" for name, value in record.loading.items())
    base = f"{_literal(record.model)}{options}"
    if record.kind is ExportKind.CHECKPOINT:
        base = '"."'
    elif record.kind is ExportKind.ADAPTER:
        yield "from peft import PeftModel"
    else:
        yield "from kgedit.delta import Delta"
    # Whoever gets an adapter of a model on the hub needs no kgedit.
    if record.kind is ExportKind.CHECKPOINT or (record.kind is ExportKind.ADAPTER and _is_hub_id(record.model)):
        yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
        yield ""
        yield f"model, tokenizer = AutoModelForCausalLM.from_pretrained({base}), AutoTokenizer.from_pretrained({base})"
    else:
        yield "from kgedit.lm.load import load_model"
        yield ""
        yield f"model, tokenizer = load_model({base})  # the unedited model"
    if record.kind is ExportKind.ADAPTER:
        yield 'model = PeftModel.from_pretrained(model, ".")'
    elif record.kind is ExportKind.DELTA:
        yield 'Delta.load(".", model).apply(model)'
    yield f"prompt = tokenizer({_literal(record.changes[0].checks[0].question)}, return_tensors={_literal('pt')})"
    yield "answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)"
    yield "print(tokenizer.decode(answer[0]))"


def _cells(change: ExportedChange) -> Iterator[str]:
    yield from (str(change.id), change.checks[0].question, change.checks[0].answer)
    yield from (change.subject, change.relation or "", change.dated.date().isoformat() if change.dated else "")
    yield from (change.evidence or "", change.source)


def _is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None


def _literal(text: str) -> str:
    """A text as Python writes it, without what would end the block of code."""
    return '"' + repr(text)[1:-1].replace("\\'", "'").replace('"', '\\"').replace("`", "\\x60") + '"'


def _cell(text: str) -> str:
    """Text from a feed that can neither leave its cell nor become markup."""
    return re.sub(r"([\\|<>\[\]`*_])", r"\\\1", " ".join(text.split()))
