"""Which facts a delta changes, as readable lines, from its manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kgedit.delta.delta import Delta
from kgedit.delta.low_rank import LowRankDelta
from kgedit.edit import noted_edit, noted_parts, noted_requests
from kgedit.errors import UnsupportedExport


def facts_changed(delta: LowRankDelta) -> list[str]:
    """One line per edit, as "subject | relation or prompt | new object"; empty if the manifest names none."""
    return [" | ".join(fact) for fact in _facts(delta.manifest)]


def check_agreeing(deltas: Iterable[Delta]) -> None:
    """Make sure that no two of some deltas give one fact different objects, as far as their manifests tell.

    Raises:
        UnsupportedExport: Two do.
    """
    objects: dict[tuple[str, str], str] = {}
    for delta in deltas:
        # Inside of one delta the last edit of a fact counts: it was made on top of the others.
        own = {(subject, wording): target for subject, wording, target in _written(delta.manifest)}
        for (subject, wording), target in own.items():
            if objects.setdefault((subject, wording), target) != target:
                raise UnsupportedExport(
                    f"the deltas give the fact {subject} | {wording} different objects, {objects[subject, wording]} "
                    f"and {target}: together they would say neither for sure. Leave one of them out"
                )


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for part in noted_parts(manifest):
        if (edit := noted_edit(part)) is not None:
            wording = edit.get("relation") or edit.get("prompt") or ""
            yield str(edit.get("subject")), str(wording), str(edit.get("target_new"))


def _written(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The facts as they were written, each by one spelling of its names, where the manifest tells; else as given."""
    for part in noted_parts(manifest):
        requests = noted_requests(part)
        if not requests:
            yield from _facts(part)
        for request in requests:
            yield request["subject"], request["relation"] or request["prompt"], request["target"]
