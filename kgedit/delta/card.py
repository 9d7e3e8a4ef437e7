"""The model card of a saved delta: its base, how to load it, and every edit that it makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kg_cache.text import printable
from kgedit.delta.delta import Delta
from kgedit.edit import noted_edit, noted_parts
from kgedit.io.markdown import cell, literal, rows
from kgedit.lm.base_name import hub_id

_COLUMNS = ("subject", "relation or prompt", "until now", "new answer", "method")


def delta_card(delta: Delta, repo: str) -> str:
    """Markdown with the metadata block of the Hugging Face hub.

    Args:
        delta: As it was saved.
        repo: Where it is published, "owner/name".
    """
    parts = noted_parts(delta.manifest)
    base = model_named(delta) or "MODEL"
    edits = [edit for part in parts if (edit := noted_edit(part)) is not None]
    count = len(edits)
    lines = [
        "---",
        "library_name: kgedit",
        *([f"base_model: {found}"] if (found := hub_id(base)) else []),
        "tags: [knowledge-editing, kgedit]",
        "---",
        "",
        f"# {cell(base)} with {count} changed {'fact' if count == 1 else 'facts'}",
        "",
        "A delta: the change of some weights, for the unedited model alone.",
        "",
        "```python",
        *_snippet(repo, base),
        "```",
        "",
        f"- changed weights: {', '.join(f'`{name}`' for name in delta.names)}",
        f"- their hash in the unedited model: `{delta.base_hash}`",
        f"- id of the delta: `{delta.id}`",
        "",
        "## Edits",
        "",
        *rows(_COLUMNS, (_edit(part) for part in parts if noted_edit(part) is not None)),
    ]
    return printable("\n".join(lines) + "\n")


def model_named(delta: Delta) -> str:
    """The public name of the model that a delta was made for, as its manifest has it; empty where it has none."""
    return next((str(part["model"]) for part in noted_parts(delta.manifest) if part.get("model")), "")


def _snippet(repo: str, base: str) -> Iterator[str]:
    yield "from kgedit import Editor"
    yield "from kgedit.delta import Delta"
    yield ""
    yield f"editor = Editor.from_pretrained({literal(base)}, method=None)"
    yield f"Delta.from_pretrained({literal(repo)}, editor.model).apply(editor.model)"


def _edit(part: dict[str, Any]) -> Iterator[str]:
    edit = noted_edit(part) or {}
    yield from (str(edit.get("subject", "")), str(edit.get("relation") or edit.get("prompt") or ""))
    yield from (str(edit.get("target_true") or ""), str(edit.get("target_new", "")))
    yield str(part.get("method", ""))
