"""The live count of a run: what was accepted and refused so far, on a terminal only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kgedit.ingest.store.entry import Entry
    from kgedit.progress import Progress

SHOWN = 6


class LiveTable:
    """Keeps the last decided changes on a terminal, above the progress bar."""

    def __init__(self, advance: Progress) -> None:
        """Take the progress callback of `working`, whose console the lines go to."""
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._advance = advance
        self.counts: Counter[str] = Counter()

    def told(self, entry: Entry) -> None:
        """One change was decided."""
        name = "accepted" if entry.state == "checked" else str(entry.state)
        self.counts[name] += 1
        if not self._console.is_terminal:
            return
        from rich.markup import escape

        edit = entry.change["edit"]
        words = f"{edit['subject']} {edit['relation'] or ''} {edit['target_new']}" if isinstance(edit, dict) else ""
        totals = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items()))
        why = f"  {entry.reason[:80]}" if entry.state == "refused" else ""
        self._console.print(f"{escape(words):40} {name:10} [{totals}]{escape(why)}", markup=True)
