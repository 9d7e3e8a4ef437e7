"""Shows the decided changes of a run as they come, on a terminal only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kg_cache.text import printable

if TYPE_CHECKING:
    from kgedit.ingest import Entry
    from kgedit.progress import Progress

SHOWN = 6


class LiveTable:
    """Prints each decided change above the progress bar, with the counts so far."""

    def __init__(self, advance: Progress) -> None:
        """Take the progress callback of `working`, whose console the lines go to."""
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._advance = advance
        self.counts: Counter[str] = Counter()

    def show(self, entry: Entry) -> None:
        """Count a decided change, and print it if there is a terminal."""
        name = "accepted" if entry.state == "checked" else str(entry.state)
        self.counts[name] += 1
        if not self._console.is_terminal:
            return
        from rich.markup import escape

        from kgedit.ingest.change import words

        change = " ".join(words(entry.edit))
        totals = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items()))
        why = f"  {entry.reason[:80]}" if entry.state == "refused" else ""
        change, why = escape(printable(change)), escape(printable(why))
        self._console.print(f"{change:40} {name:10} [{totals}]{why}", markup=True)
