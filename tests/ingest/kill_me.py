"""Run by test_recovery: takes changes in until it is killed; says on stdout what it has acknowledged."""

from __future__ import annotations

import sys
from pathlib import Path

from ingest.cheap import batches, names, received, reopen

directory, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, weights = reopen(directory)
store.journal.receive(received(name) for name in names(seed, count))
sys.stdout.write("received\n")
sys.stdout.flush()


def acknowledge() -> None:
    sys.stdout.write("batch\n")
    sys.stdout.flush()


batches(store, weights, 4, after=acknowledge)
