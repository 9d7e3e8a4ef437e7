"""Which facts a delta changes, as readable lines, from its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kgedit.delta.low_rank import LowRankDelta
from kgedit.edit import noted_edit, noted_parts


def facts_changed(delta: LowRankDelta) -> list[str]:
    """One line per edit, as "subject | relation or prompt | new object"; empty if the manifest names none."""
    return list(_lines(delta.manifest))


def _lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    for part in noted_parts(manifest):
        if (edit := noted_edit(part)) is not None:
            wording = edit.get("relation") or edit.get("prompt") or ""
            yield f"{edit.get('subject')} | {wording} | {edit.get('target_new')}"
