"""Follows a source of changes: plans and patches in small batches, consolidates, publishes, and begins again.

What was read, and how far that is in the source, go into the journal in one transaction, and what is received is
decided later: so a killed follower loses nothing and takes nothing twice. Nothing that is wrong with a record ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Unpack

from pydantic import BaseModel, ConfigDict

from kg_cache.errors import EndpointBusy, EndpointDown, EndpointTruncated
from kg_cache.graph import KnowledgeGraph
from kg_cache.ids import as_id, check_entity_id
from kgedit.errors import FeedAway, MissingExtra, SaveFailed, UnsupportedExport
from kgedit.ingest.change import now
from kgedit.ingest.chosen_method import BATCH, patching_method
from kgedit.ingest.consolidation import METHOD as CONSOLIDATING
from kgedit.ingest.consolidation import check_installed, check_methods
from kgedit.ingest.decide.guard import Mode
from kgedit.ingest.feeds.api import Api
from kgedit.ingest.feeds.base import FeedOptions
from kgedit.ingest.feeds.events import EventSource
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.feeds.stream import StreamFeed
from kgedit.ingest.feeds.wikidata import chosen_properties
from kgedit.ingest.following.metrics import Metrics
from kgedit.ingest.following.progress import BadRecord, FollowState
from kgedit.ingest.following.publish import current_version, publish
from kgedit.ingest.following.sources import Followed, FollowedBatch, FollowedFolder, FollowedStream
from kgedit.ingest.intake import plan_in, take_in
from kgedit.ingest.plan.policy import Policy
from kgedit.ingest.runner import decide_waiting
from kgedit.ingest.session import Session, open_session
from kgedit.lm.chat import ChatChoice
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.lm.sources.gguf_file import gguf_library
from kgedit.progress import Progress

_LONGEST = 600.0  # seconds between two attempts at a source that stays away


class FollowResult(BaseModel):
    """What a store has after it followed a source once; `kgedit ingest follow --once` prints it.

    Attributes:
        source: Name of the source.
        position: Where the source goes on; None for a folder.
        batches: Number of batches, over all runs.
        events: Number of events, over all runs.
        records: Class of the plan -> number of records, over all runs.
        changes: State -> number of changes in the journal.
        bad: The last records that could not be used, and what else went wrong.
        published: The version that `current` leads to by now; None where it leads to none.
        weights_hash: Hash of the edited weights.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    position: str | None
    batches: int
    events: int
    records: dict[str, int]
    changes: dict[str, int]
    bad: tuple[BadRecord, ...]
    published: str | None
    weights_hash: str


def follow(
    store: str | Path,
    source: str | Path = "stream",
    *,
    model: str = "mini",
    method: str | None = None,
    graph: KnowledgeGraph | str | Path | None = None,
    options: FeedOptions | None = None,
    policy: Policy = "newest-evidence",
    any_subject: bool = False,
    guard: Mode = "refuse",
    batch: int = BATCH,
    every: float = 60.0,
    consolidate_after: int | None = None,
    consolidate_by: str = CONSOLIDATING,
    out: str | Path | None = None,
    keep: int = 3,
    once: bool = False,
    metrics_port: int | None = None,
    moments: MomentSource = "auto",
    seed: int = 0,
    settings: dict[str, dict[str, Any]] | None = None,
    chat: ChatChoice | None = None,
    system: str | None = None,
    feed_settings: FeedSettings | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> FollowResult:
    """Follow a source of changes with a store, until the process ends, or once up to the present.

    The same call goes on where the last one was, however that ended. While it runs it is the store's only writer.

    Args:
        store: Folder of the store; made if it is not there.
        source: "stream" for Wikidata's edits, or a folder of feed files.
        model: See `open_session`.
        method: Gives each change a patch; by default the one of the preset that does.
        graph: See `open_session`.
        options: Properties and items of the stream and where it begins the first time (`since`), or columns of files.
        policy: See `make_plan`.
        any_subject: See `make_plan`.
        guard: See `open_session`.
        batch: The most changes decided together; a stream is planned once so many have come.
        every: Seconds that changes of a stream wait for others at most, and between two looks at a folder.
        consolidate_after: Consolidate whenever so many changes were decided since the last time.
        consolidate_by: The method that does; see `consolidation.consolidate`.
        out: Folder in which the adapter is published; see `publish`.
        keep: Number of its versions that stay.
        once: End at the present: at the first event that is younger than the call, or when the folder is read.
        metrics_port: Port on this machine for metrics.
        moments: See `open_session`.
        seed: See `open_session`.
        settings: See `open_session`.
        chat: See `open_session`.
        system: See `open_session`.
        feed_settings: Addresses and limits of the stream; from the environment by default.
        sleep: Pauses for some seconds.
        progress: Called with (what, done, total).
        **loading: See `open_session`.

    Raises:
        FeedError: There is no such source.
        EndpointError: The source refuses to answer; or, `once`, it cannot be reached.
        KgeditError: See `open_session`.
    """
    method = method or patching_method(model)
    check_methods(consolidate_by, method)
    if consolidate_after is not None:
        check_installed(consolidate_by)
    options = options or FeedOptions()
    followed: Followed
    if str(source) == "stream":
        followed = _stream(options, feed_settings or FeedSettings(), once=once, size=batch, every=every, sleep=sleep)
    else:
        followed = FollowedFolder(Path(source), options, policy=policy, any_subject=any_subject)
    metrics = Metrics()
    with (
        metrics.served(metrics_port),
        open_session(
            store, model=model, method=method, graph=graph, guard=guard, moments=moments, seed=seed,
            settings=settings, chat=chat, system=system, progress=progress, **loading,
        ) as session,
    ):  # fmt: skip
        follower = _Follower(
            session, followed, metrics, Path(out) if out is not None else None, keep, batch,
            consolidate_after, consolidate_by, policy, any_subject=any_subject,
        )  # fmt: skip
        if out is not None:
            try:
                gguf_library()
            except MissingExtra as error:
                follower.problem(str(out), MissingExtra(f"versions have no adapter.gguf: {error}"))
        follower.settle()  # what a killed one had received, and not decided or not published
        if not once:
            follower.go_on(every, sleep)
        follower.read()
        return follower.result()


@dataclass
class _Follower:
    """One run of a follower over an open store."""

    session: Session
    source: Followed
    metrics: Metrics
    out: Path | None
    keep: int
    size: int
    consolidate_after: int | None
    consolidate_by: str
    policy: Policy
    any_subject: bool

    def __post_init__(self) -> None:
        self.state = FollowState.of(self.session.store.journal, self.source.name)

    @property
    def published(self) -> Path | None:
        """The version that is in use."""
        return current_version(self.out) if self.out is not None else None

    def read(self) -> None:
        """All batches that the source has."""
        journal = self.session.store.journal
        for batch in self.source.batches(self.state.position, lambda of_file: journal.run(of_file) is not None):
            self._take(batch)
            self.settle()

    def go_on(self, every: float, sleep: Callable[[float], None]) -> NoReturn:
        """Read again and again; the pauses grow while the source stays away."""
        failures = 0
        while True:
            try:
                self.read()
                failures = 0
            except (EndpointDown, EndpointBusy, EndpointTruncated, FeedAway) as error:
                failures += 1
                self.problem(self.source.name, error)
            sleep(min(every * 2**failures, _LONGEST) if failures else every)

    def _take(self, batch: FollowedBatch) -> None:
        """Plan a batch, then receive it and note where the source goes on, in one transaction."""
        journal = self.session.store.journal
        self.session.names.forget()  # the graph may have changed since
        plan = plan_in(self.session, batch.changes, policy=self.policy, any_subject=self.any_subject)
        state = self.state.with_plan(plan, batch.position, batch.events)
        counts = {str(verdict): count for verdict, count in plan.counts.items()}
        if batch.fingerprint:
            plan.save(self.session.store.plan_file(batch.fingerprint))
        with journal.writing():
            take_in(journal, plan, batch.fingerprint, counts)
            state.note(journal, self.source.name)
        self.state = state

    def settle(self) -> None:
        """Decide what waits, and publish what is in force."""
        decide_waiting(
            self.session, self.size, consolidate_after=self.consolidate_after, consolidate_by=self.consolidate_by
        )
        if self.out is not None:
            try:
                publish(self.session, self.out, keep=self.keep)
            except (SaveFailed, UnsupportedExport) as error:  # a full disk ends no follower; it tries again
                self.problem(str(self.out), error)
        self._tell()

    def problem(self, where: str, error: Exception) -> None:
        """Note something that went wrong beside the records."""
        self.state = self.state.with_problem(where, str(error))
        self.state.note(self.session.store.journal, self.source.name)
        self._tell()

    def result(self) -> FollowResult:
        """What the store has now."""
        store, state = self.session.store, self.state
        return FollowResult(
            source=self.source.name,
            position=state.position,
            batches=state.batches,
            events=state.events,
            records=dict(state.records),
            changes={name: count for name, count in store.journal.counts().items() if count},
            bad=state.bad,
            published=str(self.published) if self.published else None,
            weights_hash=store.weights_hash,
        )

    def _tell(self) -> None:
        store, state = self.session.store, self.state
        self.metrics.tell(
            {
                "follow_events_total": ("counter", "Events read.", {"": state.events}),
                "follow_batches_total": ("counter", "Batches planned.", {"": state.batches}),
                "follow_records_total": ("counter", "Records by class of the plan.", state.records),
                "changes": ("gauge", "Changes of the journal by state.", store.journal.counts()),
                "deltas": ("gauge", "Deltas applied to the model.", {"": len(store.live())}),
                "published_version": ("gauge", "The version that `current` leads to.", {"": self._version()}),
                "follow_seconds": ("gauge", "When a batch was last settled, in Unix time.", {"": now().timestamp()}),
            }
        )
        if progress := self.session.decider.progress:
            progress(f"Following {self.source.name}", state.batches, 0)

    def _version(self) -> int:
        return int(self.published.name) if self.published else 0


def _stream(
    options: FeedOptions,
    settings: FeedSettings,
    *,
    once: bool,
    size: int,
    every: float,
    sleep: Callable[[float], None],
) -> FollowedStream:
    until = now() if once else None
    properties, entities = (
        chosen_properties(options.properties),
        [check_entity_id(as_id(id)) for id in options.entities],
    )
    api = Api(settings)

    def events(position: str | None) -> EventSource:
        return EventSource(settings, since=position or options.since, sleep=sleep)

    def opened(source: EventSource) -> StreamFeed:
        return StreamFeed(source, api, properties, entities=entities, wiki=settings.wiki, until=until)

    events(None)  # a beginning that means nothing is told at once
    return FollowedStream(events, opened, size=size, seconds=every, until=until)
