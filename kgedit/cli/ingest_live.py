"""Shows the decided changes of a run as they come, on a terminal only."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kgedit.cli.progress import Shown
    from kgedit.ingest import Entry

SHOWN = 6


class LiveTable:
    """Prints each decided change above the progress bar, with the counts so far."""

    def __init__(self, advance: Shown) -> None:
        """Take the progress of `working`, above whose bar the lines go."""
        self._advance = advance
        self.counts: Counter[str] = Counter()

    def show(self, entry: Entry) -> None:
        """Count a decided change, and print it if there is a terminal."""
        name = "accepted" if entry.state == "checked" else str(entry.state)
        self.counts[name] += 1
        change = " ".join(entry.change.words)
        totals = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items()))
        why = f"  {entry.reason[:80]}" if entry.state == "refused" else ""
        self._advance.note(f"{change:40} {name:10} ({totals}){why}")
