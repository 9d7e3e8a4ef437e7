"""Between plan and journal: a plan against what the journal holds, and what the journal takes in of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from kgedit.ingest.change import Change, MalformedChange, slot_key
from kgedit.ingest.plan.plan import Plan, Planned, Verdict
from kgedit.ingest.plan.planner import make_plan
from kgedit.ingest.plan.policy import InForce, Policy
from kgedit.ingest.session import Session
from kgedit.ingest.store.entry import OPEN, PlannedEdit, Received
from kgedit.ingest.store.journal import Journal


def plan_in(
    session: Session,
    changes: Iterable[Change | MalformedChange],
    *,
    policy: Policy = "refuse",
    check_kinds: bool = True,
    any_subject: bool = False,
) -> Plan:
    """A plan of changes for an open store, against what its journal holds; see `make_plan`."""
    journal = session.store.journal
    return make_plan(
        changes, session.editor, names=session.names, policy=policy, check_kinds=check_kinds, any_subject=any_subject,
        progress=session.decider.progress, seen=lambda planned: state_before(journal, planned),
        in_force=partial(applied_change, journal),
    )  # fmt: skip


def state_before(journal: Journal, planned: Planned) -> str | None:
    """State that a record's change has from an earlier run; None if it is to be done.

    A change that is no longer applied, or was refused, is done again when another record asks for it: a fact may
    return to what it was. The same record, as a feed's second delivery has it, is not.
    """
    entry = journal.find(planned.key or "")
    if entry is None:
        return None
    there, here = entry.change.provenance, planned.change.provenance if planned.change else None
    if there is None or here is None:
        same = there is here
    else:
        same = (there.feed, there.position, there.dated) == (here.feed, here.position, here.dated)
    return str(entry.state) if entry.state in OPEN or same else None


def applied_change(journal: Journal, slot: str) -> InForce | None:
    """The applied change of a fact, if there is one."""
    entry = journal.of_slot(slot)
    return InForce(entry.id, entry.change.dated) if entry else None


def take_in(journal: Journal, plan: Plan, fingerprint: str | None, counts: Mapping[str, int]) -> None:
    """Receive the new changes of a plan, and note newer evidence for those that the journal has; in one transaction.

    Args:
        journal: The journal.
        plan: The plan.
        fingerprint: Hash of the feed's content, under which the run is noted; None for a stream.
        counts: Class of the plan -> number of records.
    """
    with journal.writing():
        # 1. New changes.
        if fingerprint:
            journal.begin_run(fingerprint, counts, _received(plan))
        else:
            journal.receive(_received(plan))
        # 2. Changes that wait or are applied, told again with a newer date.
        for planned in plan.of(Verdict.DUPLICATE):
            entry, dated = journal.find(planned.key or ""), planned.dated
            if entry is None or dated is None or entry.state not in OPEN:
                continue
            if entry.change.dated is None or dated > entry.change.dated:
                journal.note_evidence(
                    entry, dated, f"the same change again, dated {dated.isoformat()}: {planned.where}"
                )


def _received(plan: Plan) -> Iterable[Received]:
    """The records of a plan that are to be applied, as the journal takes them."""
    for planned in plan.of(Verdict.NEW):
        if planned.edit is not None and planned.key is not None:
            provenance = planned.change.provenance if planned.change else None
            yield Received(
                key=planned.key,
                slot=slot_key(planned.edit),
                change=PlannedEdit(
                    edit=planned.edit,
                    provenance=provenance,
                    number=planned.number,
                    newest=planned.newest,
                    labels=planned.labels,
                    notes=planned.notes,
                ),
            )
