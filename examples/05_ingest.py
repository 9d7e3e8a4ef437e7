"""Keep facts current: a feed of changes, a store with a journal, one change taken back, everything verified.

.venv/bin/python examples/05_ingest.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from kgedit.ingest.feeds.base import open_feed
from kgedit.ingest.maintenance import take_back_from, verify
from kgedit.ingest.runner import fingerprint, run
from kgedit.ingest.session import open_session

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

        # Quick rather than careful: few facts are held and watched, and the guards are looser than the preset's.
        guards = {"facts": 50, "norm": 9, "norm_cumulative": 9, "locality": 0, "neighbours": 0, "subject": 0}
        quick = {"ingest": {"facts": 20}, "guards": {**guards, "perplexity": 3}}
        with open_session(store, model="mini", method="rome", moments="identity", settings=quick) as session:
            source = open_feed(str(feed))
            result = run(session, source.name, source, fingerprint=fingerprint(feed), batch=1)
            print("planned:", {name: count for name, count in result.classes.items() if count})
            for entry in session.store.entries():
                edit = entry.change["edit"]
                print(f"change {entry.id}: {edit['subject']} {edit['relation']} {edit['target_new']}: {entry.state}")
                print(f"    {entry.reason or entry.numbers}")
            live = [entry.id for entry in session.store.journal.in_force()]

        take_back_from(store, live[0])  # any of them, in any order
        found = verify(store)  # every file by its hash, and base plus deltas against what the journal noted
        print(f"took change {live[0]} back; verified: {found.deltas} deltas left, weights {found.weights_hash[:12]}")


if __name__ == "__main__":
    main()
