"""Ingestion: applies feeds of fact changes to a model, under guards and a journal, with exact undo and exports.

    from kgedit.ingest import export, open_store, run, undo, verify

    result = run("STORE", "changes.jsonl", model="mini", method="glame")
    with open_store("STORE") as store:
        print([(entry.id, entry.state, entry.edit) for entry in store.entries()])
    undo("STORE", 3)
    verify("STORE")
    export("STORE", "OUT", "adapter")

The folders are in the order in which a change passes through them, and each imports only those before it:
`feeds`, `plan`, `store` (the journal), `decide`; then `exports` and `report`, which read a store. `intake` stands
between plan and journal, `session` puts a store and a model together, `runner` runs over a feed, `consolidation`
trains all changes into one delta, `following` goes on with a source without end, `maintenance` is what else happens
between runs, `review` is for people who decide change by change. The public names are loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgedit.io.lazy import lazy_names

if TYPE_CHECKING:
    from kgedit.ingest.calibration import Calibration, calibrate
    from kgedit.ingest.change import Change, MalformedChange, Provenance
    from kgedit.ingest.consolidation import Consolidated, consolidate
    from kgedit.ingest.exports.manifest import ExportKind, ExportRecord
    from kgedit.ingest.exports.verify import ExportVerified, verify_export
    from kgedit.ingest.exports.write import export
    from kgedit.ingest.feeds.base import Feed, FeedOptions, open_feed
    from kgedit.ingest.following.follow import FollowResult, follow
    from kgedit.ingest.maintenance import Replayed, StoreVerified, Undone, replay, undo, verify
    from kgedit.ingest.plan.plan import Plan, Planned, Verdict
    from kgedit.ingest.plan.planner import make_plan
    from kgedit.ingest.report.build import build_report
    from kgedit.ingest.report.html import check_report_file, write_report
    from kgedit.ingest.report.report import IngestReport
    from kgedit.ingest.review import accept, receive, refuse
    from kgedit.ingest.runner import run
    from kgedit.ingest.store.entry import Entry, State
    from kgedit.ingest.store.run_record import RunResult
    from kgedit.ingest.store.store import IngestStore, open_store

_HOME = {
    "calibration": ("Calibration", "calibrate"),
    "change": ("Change", "MalformedChange", "Provenance"),
    "consolidation": ("Consolidated", "consolidate"),
    "exports.manifest": ("ExportKind", "ExportRecord"),
    "exports.verify": ("ExportVerified", "verify_export"),
    "exports.write": ("export",),
    "feeds.base": ("Feed", "FeedOptions", "open_feed"),
    "following.follow": ("FollowResult", "follow"),
    "maintenance": ("Replayed", "StoreVerified", "Undone", "replay", "undo", "verify"),
    "plan.plan": ("Plan", "Planned", "Verdict"),
    "plan.planner": ("make_plan",),
    "report.build": ("build_report",),
    "report.html": ("check_report_file", "write_report"),
    "report.report": ("IngestReport",),
    "review": ("accept", "receive", "refuse"),
    "runner": ("run",),
    "store.entry": ("Entry", "State"),
    "store.run_record": ("RunResult",),
    "store.store": ("IngestStore", "open_store"),
}
_MODULE = {name: f"kgedit.ingest.{module}" for module, names in _HOME.items() for name in names}

__all__ = [
    "Calibration",
    "Change",
    "Consolidated",
    "Entry",
    "ExportKind",
    "ExportRecord",
    "ExportVerified",
    "Feed",
    "FeedOptions",
    "FollowResult",
    "IngestReport",
    "IngestStore",
    "MalformedChange",
    "Plan",
    "Planned",
    "Provenance",
    "Replayed",
    "RunResult",
    "State",
    "StoreVerified",
    "Undone",
    "Verdict",
    "accept",
    "build_report",
    "calibrate",
    "check_report_file",
    "consolidate",
    "export",
    "follow",
    "make_plan",
    "open_feed",
    "open_store",
    "receive",
    "refuse",
    "replay",
    "run",
    "undo",
    "verify",
    "verify_export",
    "write_report",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULE)
