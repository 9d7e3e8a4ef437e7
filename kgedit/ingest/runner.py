"""Runs over a feed: plans it, receives its changes into the journal, decides them batch by batch, and measures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Unpack

from kg_cache.graph import KnowledgeGraph
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.chosen_method import BATCH, patching_method
from kgedit.ingest.consolidation import METHOD as CONSOLIDATING
from kgedit.ingest.consolidation import check_installed, check_methods, consolidate_in, note_in_vain, waiting
from kgedit.ingest.decide.guard import Mode
from kgedit.ingest.feeds.base import Feed, FeedOptions, is_there, open_feed
from kgedit.ingest.final_measure import final_measure
from kgedit.ingest.intake import plan_in, take_in
from kgedit.ingest.plan.policy import Policy
from kgedit.ingest.report.build import report_on
from kgedit.ingest.report.html import check_report_file, write_report
from kgedit.ingest.session import Session, open_session
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.run_record import RunResult
from kgedit.lm.chat import ChatChoice
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MayCollect, MomentSource
from kgedit.progress import Progress


def run(
    store: str | Path,
    feed: str | Path | Feed,
    *,
    model: str = "mini",
    method: str | None = None,
    graph: KnowledgeGraph | str | Path | None = None,
    format: str | None = None,
    options: FeedOptions | None = None,
    policy: Policy = "refuse",
    check_kinds: bool = True,
    any_subject: bool = False,
    guard: Mode = "refuse",
    batch: int | None = None,
    consolidate_after: int | None = None,
    consolidate_by: str = CONSOLIDATING,
    moments: MomentSource = "auto",
    seed: int = 0,
    settings: dict[str, dict[str, Any]] | None = None,
    chat: ChatChoice | None = None,
    system: str | None = None,
    report: str | Path | None = None,
    on_decided: Callable[[Entry], None] | None = None,
    may_collect: MayCollect | None = None,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> RunResult:
    """Apply a feed of changes to a model, and keep them in a store.

    The same call again resumes a run that was killed, or changes nothing.

    Args:
        store: Folder of the store; made if it is not there.
        feed: A file of changes, what `open_feed` takes, or a feed.
        model: See `open_session`.
        method: See `open_session`; by default the one of the preset that patches, if it is to be consolidated.
        graph: See `open_session`.
        format: Kind of the feed; see `open_feed`.
        options: Options of the feed; see `open_feed`.
        policy: See `make_plan`.
        check_kinds: See `make_plan`.
        any_subject: See `make_plan`.
        guard: See `open_session`.
        batch: See `apply_feed`.
        consolidate_after: See `apply_feed`.
        consolidate_by: See `apply_feed`.
        moments: See `open_session`.
        seed: See `open_session`.
        settings: See `open_session`.
        chat: See `open_session`.
        system: See `open_session`.
        report: File for the report of the store at the end: an HTML page, or JSON if its name ends in .json.
        on_decided: Called with each change once it is decided.
        may_collect: See `open_session`.
        progress: Called with (what, done, total).
        **loading: See `open_session`.

    Raises:
        FeedError: The feed as a whole cannot be read.
        KgeditError: See `open_session`; what cannot be done about a single change is in the result.
    """
    if consolidate_after is not None:
        method = method or patching_method(model)
        check_methods(consolidate_by, method)
        check_installed(consolidate_by)
    options = options or FeedOptions()
    if report is not None:
        check_report_file(Path(report))
    source = open_feed(str(feed), format, options) if isinstance(feed, str | Path) else feed
    of_file = None
    # A list of items is asked of Wikidata as it is now, so that the same file may say something else each time.
    if isinstance(feed, str | Path) and format != "wikidata" and is_there(feed) and Path(feed).is_file():
        of_file = planned_file(
            Path(feed), source.name, options, kind=format, policy=policy, check_kinds=check_kinds,
            any_subject=any_subject,
        )  # fmt: skip
    with open_session(
        store, model=model, method=method, graph=graph, guard=guard, moments=moments, seed=seed,
        settings=settings, chat=chat, system=system, may_collect=may_collect, progress=progress, **loading,
    ) as session:  # fmt: skip
        result = apply_feed(
            session, source.name, source, fingerprint=of_file, policy=policy, batch=batch, check_kinds=check_kinds,
            any_subject=any_subject, on_decided=on_decided, consolidate_after=consolidate_after,
            consolidate_by=consolidate_by,
        )  # fmt: skip
        if report is not None:
            content = report_on(session.store, session.editor, session.weights, progress=progress)
            write_report(content, Path(report))
    return result


def apply_feed(
    session: Session,
    name: str,
    changes: Iterable[Change | MalformedChange],
    *,
    fingerprint: str | None,
    policy: Policy = "refuse",
    batch: int | None = None,
    check_kinds: bool = True,
    any_subject: bool = False,
    on_decided: Callable[[Entry], None] | None = None,
    consolidate_after: int | None = None,
    consolidate_by: str = CONSOLIDATING,
) -> RunResult:
    """Apply a feed to an open store. A second run over the same feed changes nothing.

    Args:
        session: The open store.
        name: Name of the feed.
        changes: Its records; not read when a run over it was begun before.
        fingerprint: Hash of the feed's content; None for a stream, which is planned whenever it is read.
        policy: Which record counts when several disagree about a fact.
        batch: Number of changes decided together; by default 16, or all for a method whose changes share one delta.
        check_kinds: See `make_plan`.
        any_subject: See `make_plan`.
        on_decided: Called with each change once it is decided.
        consolidate_after: Consolidate whenever so many changes were decided since the last time.
        consolidate_by: The method that does; see `consolidation.consolidate`.
    """
    started = time.monotonic()
    store, decider, journal = session.store, session.decider, session.store.journal
    session.names.forget()  # the graph may have changed since the feed before
    decided, size = session.recovered, batch or (10**9 if decider.writer.shared else BATCH)
    begun = journal.run(fingerprint) if fingerprint else None
    if begun is not None:
        counts, earlier = begun.counts, begun.result
    else:
        # 1. What other runs left waiting comes first, so that the plan is made against all that is then in force.
        decided += decide_waiting(session, size, on_decided, consolidate_after, consolidate_by)
        plan = plan_in(session, changes, policy=policy, check_kinds=check_kinds, any_subject=any_subject)
        counts, earlier = {str(verdict): count for verdict, count in plan.counts.items()}, None
        if fingerprint:
            plan.save(store.plan_file(fingerprint))
        take_in(journal, plan, fingerprint, counts)
    # 2. Decide and commit batch by batch; each is durable before the next begins.
    decided += decide_waiting(session, size, on_decided, consolidate_after, consolidate_by)
    # 3. Measure, unless nothing changed since this feed was measured.
    if earlier is not None and not decided and earlier.weights_hash == store.weights_hash:
        return earlier.model_copy(update={"changed": 0, "recovered": 0, "seconds": _since(started)})
    measured = final_measure(session, name, counts)
    result = measured.model_copy(
        update={"changed": decided, "recovered": session.recovered, "seconds": _since(started)}
    )
    if fingerprint:
        journal.end_run(fingerprint, result)
    return result


def decide_waiting(
    session: Session,
    size: int,
    on_decided: Callable[[Entry], None] | None = None,
    consolidate_after: int | None = None,
    consolidate_by: str = CONSOLIDATING,
) -> int:
    """Decide and commit the received changes, batch by batch; returns how many there were.

    See `apply_feed` for the arguments. What a killed run decided and did not come to consolidate is consolidated
    first: what follows is then decided beside the same deltas as without the kill.
    """
    progress, journal = session.decider.progress, session.store.journal
    done, total = 0, journal.counts()[State.RECEIVED]
    _consolidate_if_due(session, consolidate_after, consolidate_by)
    while entries := next_batch(session, size):
        session.decide(entries)
        done += len(entries)
        for entry in entries:
            if on_decided:
                on_decided(journal.entry(entry.id))
        if progress:
            progress("changes decided", done, total)
        _consolidate_if_due(session, consolidate_after, consolidate_by)
    return done


def _consolidate_if_due(session: Session, after: int | None, method: str) -> None:
    """Consolidate; what the guards refuse as a whole is tried again once as many changes have come in again."""
    if after is not None and waiting(session) >= after and not consolidate_in(session, method).switched:
        note_in_vain(session)


def next_batch(session: Session, size: int, *, after: int = 0) -> list[Entry]:
    """The next changes to decide: at most so many, and no two of one fact."""
    by_slot: dict[str, Entry] = {}
    for entry in session.store.journal.entries(State.RECEIVED, after=after, limit=min(size, 1 << 30)):
        if entry.slot in by_slot:
            break
        by_slot[entry.slot] = entry
    return list(by_slot.values())


def planned_file(
    path: Path,
    name: str,
    options: FeedOptions,
    *,
    kind: str | None = None,
    policy: Policy,
    check_kinds: bool,
    any_subject: bool,
) -> str:
    """Fingerprint of a file and of all that decides its plan, under which the journal notes a run over it."""
    columns = sorted(f"{column}={field}" for column, field in options.columns.items())
    parts = [name, policy, str(not check_kinds), str(options.before), str(columns)]
    # Each named only where it is asked for, so that runs begun before there was a choice are found again.
    parts += ["any subject"] if any_subject else []
    parts += [f"kind {kind}"] if kind else []
    parts += [f"properties {sorted(options.properties)}"] if options.properties else []
    parts += [f"before {fingerprint(options.before)}"] if options.before and options.before.is_file() else []
    return fingerprint(path, *parts)


def fingerprint(path: Path, *parts: str) -> str:
    """SHA-256 of a file's content and of what else decides its plan."""
    sha = hashlib.sha256("\0".join(parts).encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
