"""Run by test_recovery: takes changes in until it is killed; says on stdout what it has acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

from ingest.cheap import batches, names, received, reopen

directory, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, weights = reopen(directory)
if store.journal.run("feed") is None:  # as a run does: a refused change is not taken in again by its own feed
    store.journal.begin_run("feed", {}, (received(name) for name in names(seed, count)))
sys.stdout.write("received\n")
sys.stdout.flush()


def acknowledge() -> None:
    sys.stdout.write("batch\n")
    sys.stdout.flush()


batches(store, weights, 4, after=acknowledge)
