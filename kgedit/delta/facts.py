"""Which facts a delta changes, as readable lines, from its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kgedit.delta.low_rank import LowRankDelta


def facts_changed(delta: LowRankDelta) -> list[str]:
    """One line per edit, as "subject | relation or prompt | new object"; empty if the manifest names none."""
    return list(_lines(delta.manifest))


def _lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    for part in manifest.get("composed", ()):
        yield from _lines(part.get("manifest", {}))
    # An edit of the editor stands there itself, one of an ingestion store inside its change.
    edit = manifest.get("edit") or manifest.get("change", {}).get("edit")
    if isinstance(edit, dict):
        wording = edit.get("relation") or edit.get("prompt") or ""
        yield f"{edit.get('subject')} | {wording} | {edit.get('target_new')}"
