"""A follower over a real store, journal and source, with a tiny model: planning and deciding cost nothing here.

Run as a script it follows the stream until it is killed, and says on stdout what it has settled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ingest.cheap import decide, reopen
from kgedit.ingest.change import MalformedChange, change_key
from kgedit.ingest.feeds.base import FeedOptions
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.following import follow as module
from kgedit.ingest.intake import state_before
from kgedit.ingest.plan.plan import Plan, PlanHeader, Planned, Verdict
from kgedit.ingest.plan.spool import Spool
from kgedit.ingest.store.commit import commit
from kgedit.ingest.store.entry import State


@contextmanager
def session(directory: Path, **_: Any) -> Iterator[Any]:
    store, weights = reopen(Path(directory))
    with store:
        nothing = SimpleNamespace(forget=lambda: None)
        yield SimpleNamespace(store=store, weights=weights, names=nothing, decider=SimpleNamespace(progress=None))


def plan_in(session: Any, changes: Any, **_: Any) -> Plan:
    """As `make_plan`, without a model: what the journal has is a duplicate, what else can be read is new."""
    spool = Spool()
    for number, item in enumerate(changes, 1):
        if isinstance(item, MalformedChange):
            spool.add(Planned(number=number, verdict=Verdict.MALFORMED, reason=item.why, malformed=item))
            continue
        key = change_key(item.edit)
        planned = Planned(number=number, verdict=Verdict.NEW, reason="", change=item, key=key, edit=item.edit)
        if (state := state_before(session.store.journal, planned)) is not None:
            planned = planned.model_copy(update={"verdict": Verdict.DUPLICATE, "reason": state})
        spool.add(planned)
    spool.merge_duplicates()
    return Plan(PlanHeader(model="tiny", graph="none", policy="refuse"), spool)


def decide_waiting(session: Any, size: int, **_: Any) -> int:
    while entries := list(session.store.journal.entries(State.RECEIVED, limit=size)):
        slots = {entry.slot: entry for entry in reversed(entries)}  # of each fact the first one
        commit(
            session.store,
            session.weights,
            decide(sorted(slots.values(), key=lambda one: one.id), session.weights.model),
        )
    return 0


def follow(directory: Path, source: Any, stream: str, api: str, cache: Path, **fields: Any) -> Any:
    attempts = fields.pop("attempts", 4)
    most = fields.pop("max_response_bytes", 1_000_000)
    settings = FeedSettings(
        cache_dir=cache, timeout=5, retry_budget=20, stream=stream, api=api, attempts=attempts, max_response_bytes=most
    )
    options = FeedOptions(properties=("P6",))
    fields = {"sleep": lambda _: None, **fields}
    return module.follow(directory, source, model="tiny", options=options, feed_settings=settings, **fields)


def cheap(patch: Any) -> None:
    patch(module, "open_session", session)
    patch(module, "plan_in", plan_in)
    patch(module, "decide_waiting", decide_waiting)


if __name__ == "__main__":
    cheap(setattr)
    settle = module._Follower.settle

    def settled(self: Any) -> None:
        settle(self)
        sys.stdout.write(f"{self.state.events}\n")
        sys.stdout.flush()

    module._Follower.settle = settled  # type: ignore[method-assign]
    follow(Path(sys.argv[1]), "stream", sys.argv[2], sys.argv[3], Path(sys.argv[4]), batch=3, once=True)
