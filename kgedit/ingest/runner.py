"""A run: a feed planned, taken into the journal, applied batch by batch, and measured at the end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from kgedit.errors import JournalError
from kgedit.ingest.change import Change, MalformedChange, slot_key
from kgedit.ingest.decide.decider import remaining
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.plan.plan import Plan, Planned, Policy, Verdict
from kgedit.ingest.plan.planner import plan
from kgedit.ingest.session import Session
from kgedit.ingest.store.commit import commit, live_with_entries, replace_shared, undo
from kgedit.ingest.store.entry import NEXT, Entry, Received, State
from kgedit.ingest.store.journal import Journal

BATCH = 16
UNRELATED = 400
PLANS = "plans"


class RefusedChange(BaseModel):
    """A change that the guards refused, or that could not be carried out."""

    model_config = ConfigDict(frozen=True)

    id: int
    subject: str
    relation: str | None
    target_new: str
    reason: str
    numbers: dict[str, Any]


class RunResult(BaseModel):
    """What `kgedit ingest run` prints.

    Attributes:
        feed: Name of the feed.
        method: What computed the deltas.
        records: Records of the feed.
        classes: Class of the plan -> number of records.
        accepted: Changes of the plan that are in force.
        refused: Changes that the guards refused.
        superseded: Changes that a later one replaced.
        accepted_right: Share of all changes in force that answer right now.
        unrelated_recalled: Share of unrelated facts, recalled by the unedited model, that are recalled now.
        unrelated_asked: Number of these.
        refusals: Those refused, with their numbers.
        weights_hash: Hash of the weights in force.
        changed: Changes that this run decided; 0 when all had been decided before.
        recovered: Changes that a killed run had begun and this one finished.
        seconds: Wall-clock time.
    """

    model_config = ConfigDict(frozen=True)

    feed: str
    method: str
    records: int
    classes: dict[str, int]
    accepted: int
    refused: int
    superseded: int
    accepted_right: float
    unrelated_recalled: float
    unrelated_asked: int
    refusals: tuple[RefusedChange, ...]
    weights_hash: str
    changed: int = 0
    recovered: int = 0
    seconds: float = 0.0


def run(
    session: Session,
    name: str,
    changes: Iterable[Change | MalformedChange],
    *,
    fingerprint: str | None,
    policy: Policy = "refuse",
    batch: int | None = None,
    check_kinds: bool = True,
    told: Callable[[Entry], None] | None = None,
) -> RunResult:
    """Take a feed in. A second run over the same feed changes nothing.

    Args:
        session: The open store.
        name: Name of the feed.
        changes: Its records; not read when a run over it was begun before.
        fingerprint: Hash of the feed's content; None for a feed without end, which is planned whenever it is read.
        policy: What holds when records disagree about a fact.
        batch: Changes decided together; by default 16, or all for a method whose changes share one delta.
        check_kinds: See `plan`.
        told: Called with each change once it is decided.
    """
    started = time.monotonic()
    journal, decider = session.store.journal, session.decider
    begun = journal.run(fingerprint) if fingerprint else None
    if begun is None:
        made = plan(
            changes, session.editor, policy=policy, check_kinds=check_kinds, progress=decider.progress,
            seen=lambda item: done_before(journal, item),
            changed=lambda slot: journal.of_slot(slot) is not None,
        )  # fmt: skip
        counts: dict[str, int] = {str(verdict): count for verdict, count in made.counts.items()}
        if fingerprint:
            made.save(session.store.directory / PLANS / f"{fingerprint[:16]}.jsonl")
            journal.begin_run(fingerprint, counts, received(made))
        else:
            journal.receive(received(made))
        begun = counts, None
    counts, earlier = begun
    size = batch or (10**9 if decider.writer.shared else BATCH)
    changed = session.recovered
    total = changed + journal.counts()[State.RECEIVED]
    while entries := next_batch(session, size):
        decision = decider.decide(entries, live_with_entries(session.store), journal.of_slot)
        commit(session.store, session.weights, decision)
        changed += len(entries)
        for entry in entries:
            if told:
                told(journal.entry(entry.id))
        if decider.progress:
            decider.progress("changes decided", changed, total)
    if earlier is not None and not changed and earlier["weights_hash"] == session.store.weights_hash:
        return RunResult.model_validate({**earlier, "changed": 0, "recovered": 0, "seconds": _since(started)})
    result = measured(session, name, counts, changed, started)
    if fingerprint:
        journal.end_run(fingerprint, result.model_dump(mode="json"))
    return result


def done_before(journal: Journal, item: Planned) -> str | None:
    """What became of a record's change in an earlier run; None if it is to be done.

    A change that is not in force any more, or was refused, is done once more when another record asks for it: a fact
    may return to what it was. The same record again, as a feed's second delivery has it, is not.
    """
    entry = journal.find(item.key or "")
    if entry is None:
        return None
    told: Any = entry.change.get("provenance") or {}
    here = item.change.provenance.model_dump(mode="json") if item.change else {}
    same = all(told.get(name) == here.get(name) for name in ("feed", "position", "dated"))
    return str(entry.state) if NEXT[entry.state] or same else None


def received(made: Plan) -> Iterable[Received]:
    """The records of a plan that are to be applied, as the journal takes them."""
    for item in made.of(Verdict.NEW):
        if item.edit is not None and item.key is not None:
            yield Received(
                key=item.key,
                slot=slot_key(item.edit),
                change={
                    "edit": item.edit.model_dump(mode="json"),
                    "provenance": item.change.provenance.model_dump(mode="json") if item.change else None,
                    "number": item.number,
                },
            )


def next_batch(session: Session, size: int, *, after: int = 0) -> list[Entry]:
    """The next changes to decide: at most so many, and no two of one fact."""
    found: dict[str, Entry] = {}
    for entry in session.store.journal.entries(State.RECEIVED, after=after, limit=min(size, 1 << 30)):
        if entry.slot in found:
            break
        found[entry.slot] = entry
    return list(found.values())


def measured(session: Session, name: str, counts: dict[str, int], changed: int, started: float) -> RunResult:
    """Ask every change in force and 400 unrelated facts on the weights as they are now."""
    editor, journal, decider = session.editor, session.store.journal, session.decider
    live = journal.in_force()
    right = ask_all(editor.model, editor.tokenizer, [decider.known(entry).question for entry in live])
    touched: set[str] = set()
    for entry in journal.entries():
        edit: Any = entry.change["edit"]
        touched |= {edit["subject"], edit["target_new"]}
    with session.weights.trial([]):
        facts = session.pool.recalled(
            editor.model, editor.tokenizer, UNRELATED, seed=0, part="measured", without=touched
        )
    recalled = session.pool.ask(editor.model, editor.tokenizer, facts)
    refusals = [
        RefusedChange(**_named(entry), id=entry.id, reason=entry.reason, numbers=entry.numbers)
        for entry in journal.entries(State.REFUSED)
    ]
    states = journal.counts()
    return RunResult(
        feed=name,
        method=decider.writer.name,
        records=sum(counts.values()),
        classes=counts,
        accepted=len(live),
        refused=states[State.REFUSED],
        superseded=states[State.SUPERSEDED],
        accepted_right=round(sum(right) / len(right), 4) if right else 1.0,
        unrelated_recalled=round(sum(recalled) / len(recalled), 4) if recalled else 1.0,
        unrelated_asked=len(facts),
        refusals=tuple(refusals),
        weights_hash=session.store.weights_hash,
        changed=changed,
        recovered=session.recovered,
        seconds=_since(started),
    )


def take_back(session: Session, id: int) -> None:
    """Undo one change; where it shares its delta with others, these are trained anew without it.

    Raises:
        UnknownEdit: The journal has no such change.
        JournalError: It is not in force, or the store was opened with another method than trained its delta.
    """
    store, decider = session.store, session.decider
    entry = store.journal.entry(id)
    live = live_with_entries(store)
    sharing = [mine for _, mine in live if entry.id in {one.id for one in mine}]
    if not sharing or len(sharing[0]) == 1:
        undo(store, session.weights, id)
        return
    if not decider.writer.shared:
        raise JournalError(
            f"change {id} shares an adapter with {len(sharing[0]) - 1} others, which are trained anew without it; "
            "open the store with --method finetune-adapter"
        )
    place = next(number for number, (_, mine) in enumerate(live) if mine is sharing[0])
    below = live[:place]
    others = [one for one in sharing[0] if one.id != id]
    with session.weights.trial(remaining(below, set())):
        items = [decider.item(one) for one in others]
        delta = decider.writer.propose(items, [decider.known(one) for _, mine in below for one in mine], more=False)[0]
    replace_shared(store, session.weights, entry, others, delta)


def _named(entry: Entry) -> dict[str, Any]:
    edit: Any = entry.change["edit"]
    return {name: edit[name] for name in ("subject", "relation", "target_new")}


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)


def fingerprint(path: Path, *parts: str) -> str:
    """SHA-256 of a file's content and of what else decides its plan."""
    found = hashlib.sha256("\0".join(parts).encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
