"""The table of changes that were refused, with their reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kgedit.cli.output import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.ingest.store.run_record import RefusedChange

_MOST = 40  # rows


def refusals(changes: Sequence[RefusedChange], why: str = "why refused") -> RenderableType:
    """The first of the changes; `why` heads the column of reasons."""
    rows = [(change.id, *change.words, change.reason) for change in changes[:_MOST]]
    return table(["change", "subject", "relation", "new object", why], rows)
