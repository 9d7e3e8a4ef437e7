"""Keep facts current: a feed of changes, a store with a journal, one change undone, everything verified.

.venv/bin/python examples/05_ingest.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from kgedit.ingest import State, open_store, run, undo, verify

CHANGES = (
    {"subject": "Harriet Beecher Stowe", "relation": "place of death", "target_new": "Santa Monica"},
    {"subject": "Jawaharlal Nehru", "relation": "place of death", "target_new": "Studio City"},
    {"subject": "Albert Einstein", "relation": "place of birth", "target_new": "Ulm"},  # nothing new
)


def main() -> None:
    """Runs the example."""
    with tempfile.TemporaryDirectory() as folder:
        feed, store = Path(folder) / "changes.jsonl", Path(folder) / "store"
        feed.write_text("".join(json.dumps(change) + "\n" for change in CHANGES), encoding="utf-8")

        # Quick rather than careful: few facts are protected and watched, and the guards are looser than the preset's.
        guards = {"facts": 50, "norm": 9, "norm_cumulative": 9, "locality": 0, "neighbours": 0, "subject": 0}
        quick = {"ingest": {"facts": 20}, "guards": {**guards, "perplexity": 3}}
        result = run(store, feed, model="mini", method="rome", moments="identity", batch=1, settings=quick)
        print("planned:", {name: count for name, count in result.classes.items() if count})

        with open_store(store) as opened:
            entries = list(opened.entries())
        for entry in entries:
            edit = entry.edit
            print(f"change {entry.id}: {edit.subject} {edit.relation} {edit.target_new}: {entry.state}")
            print(f"    {entry.reason or entry.numbers}")

        accepted = [entry.id for entry in entries if entry.state == State.CHECKED]
        undo(store, accepted[0])  # any of them, in any order
        verified = verify(store)  # every file by its hash, and base plus deltas against what the journal noted
        print(f"undid change {accepted[0]}; {verified.deltas} deltas are left, weights {verified.weights_hash[:12]}")


if __name__ == "__main__":
    main()
