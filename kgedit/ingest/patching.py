"""Which method patches a store: makes a change at once, with a delta of its own that can be taken out exactly."""

from __future__ import annotations

from kgedit.ingest.store.journal import Journal
from kgedit.methods.registry import load_method, method_names

BATCH = 16  # changes decided together
METHOD = "glame"


def patching_method(journal: Journal) -> str:
    """The method of the last run whose changes have a delta each; else glame."""
    used = [run.result.method for run in journal.runs() if run.result]
    names = [name for name in used if name in method_names() and not load_method(name).shares_change]
    return names[-1] if names else METHOD
