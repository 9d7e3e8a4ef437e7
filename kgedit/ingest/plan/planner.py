"""Plans a feed: puts every record into one class, from malformed to new, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from itertools import islice

from kg_cache.errors import KnowledgeGraphError
from kg_cache.graph import KnowledgeGraph
from kg_cache.ids import as_id, is_entity_id
from kg_cache.store import Store
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.ingest.change import Change, MalformedChange, change_key, slot_key
from kgedit.ingest.plan.model_knowledge import ModelKnowledge
from kgedit.ingest.plan.plan import Plan, PlanHeader, Planned, Verdict
from kgedit.ingest.plan.plausibility import Plausibility
from kgedit.ingest.plan.policy import InForce, Policy, objection
from kgedit.ingest.plan.spool import Spool
from kgedit.progress import Progress
from kgedit.resolve import Resolved, Resolver

BATCH = 256

_AHEAD = 1024  # records whose items are fetched together
_TOLD = 300  # letters of a reason
REMEMBERED = 4096  # names and edits; feeds repeat them, and memory must not grow with the feed


def make_plan(
    changes: Iterable[Change | MalformedChange],
    editor: Editor,
    *,
    names: Resolver | None = None,
    policy: Policy = "refuse",
    seen: Callable[[Planned], str | None] | None = None,
    in_force: Callable[[str], InForce | None] | None = None,
    check_kinds: bool = True,
    any_subject: bool = False,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Plan:
    """Put every record of a feed into exactly one class; nothing is changed.

    In this order: malformed; names that mean nothing (unresolved); what cannot be meant (implausible); the same
    change again (duplicate); two objects for one fact (conflict); done or refused in an earlier run (duplicate);
    against a change in force whose evidence is not older (conflict); answered already (known); about a subject of
    which the model knows nothing (unfamiliar); all others (new).
    Records wait in a temporary file: memory does not grow with their number.

    Args:
        changes: The records; read once, to the end.
        editor: Its model is asked as it stands, with all edits applied to it; its graph resolves the names.
        names: Resolves the names; by default a resolver of the editor's graph that lasts as long as the plan.
        policy: Which record counts when several disagree about a fact: none, the last, or the one with the newest
            evidence if there is one. Unless the last wins, a change in force keeps its place against older evidence.
        seen: State that a record's change has from an earlier run ("checked"); None if it is to be done.
        in_force: The applied change of a slot, if there is one; then the subject counts as familiar.
        check_kinds: Whether to refuse what the graph and the wording speak against.
        any_subject: Whether to take changes of subjects of which the model knows nothing, too.
        batch: Changes asked about at once.
        progress: Called with (what, done, total).

    Raises:
        KgeditError: The feed as a whole cannot be read.
        KnowledgeGraphError: The feed's endpoint, or the graph's store, gives no answer.
    """
    names = names or Resolver(editor.graph, editor.text, remembered=REMEMBERED)
    plausible = Plausibility(editor.graph, editor.tokenizer) if check_kinds else None
    knowledge = ModelKnowledge(editor.model, editor.tokenizer, editor.graph, editor.text)
    relations = editor.text.labels
    with closing(Spool()) as spool:
        # 1. Record by record: names and plausibility.
        records = enumerate(changes, 1)
        while block := list(islice(records, _AHEAD)):
            _fetch_ahead([item for _, item in block], editor.graph)
            for number, item in block:
                spool.add(_received(number, item, names, plausible, relations))
            if progress:
                progress("reading changes", block[-1][0], 0)
        # 2. Records against each other.
        spool.merge_duplicates()
        spool.settle_conflicts(policy)
        # 3. What is left against the journal and the model, many at a time.
        total, done = spool.waiting(), 0
        for items in spool.batches(batch):
            _ask(items, spool, names, knowledge, seen, in_force, policy, any_subject=any_subject)
            done += len(items)
            if progress:
                progress("asking the model", done, total)
        return Plan(PlanHeader(model=editor.name, graph=editor.graph.name, policy=policy), spool)


def _fetch_ahead(items: Iterable[Change | MalformedChange], graph: KnowledgeGraph) -> None:
    """Have a live graph fetch the items that many changes name with few queries, instead of some for each change."""
    if isinstance(graph, Store):
        return
    named = (end for item in items if isinstance(item, Change) for end in (item.edit.subject, item.edit.target_new))
    ids = list(dict.fromkeys(end for end in map(as_id, named) if is_entity_id(end)))
    with suppress(KnowledgeGraphError):  # asked again, and told, change by change
        graph.neighbours(ids)


def _received(
    number: int,
    item: Change | MalformedChange,
    names: Resolver,
    plausible: Plausibility | None,
    relations: Mapping[str, str],
) -> Planned:
    if isinstance(item, MalformedChange):
        return Planned(number=number, verdict=Verdict.MALFORMED, reason=item.why[:_TOLD], malformed=item)
    try:
        resolved = names.resolve(item.edit)
        complaint = plausible.complaint(resolved) if plausible else None
        edit = names.by_id(resolved)
    except (KnowledgeGraphError, EditError) as error:
        return Planned(number=number, verdict=Verdict.UNRESOLVED, reason=str(error)[:_TOLD], change=item)
    reason = complaint or "; ".join(("to be applied", *resolved.notes))
    return Planned(
        number=number,
        verdict=Verdict.IMPLAUSIBLE if complaint else Verdict.NEW,
        reason=reason[:_TOLD],
        change=item,
        key=change_key(edit),
        edit=edit,
        labels=_labels(resolved, relations),
        notes=resolved.notes,
    )


def _labels(resolved: Resolved, relations: Mapping[str, str]) -> dict[str, str]:
    """The ids of an edit with their labels; free text has none."""
    relation = resolved.relation or ""
    named = {
        resolved.subject_id: resolved.request.subject,
        relation: relations.get(relation, ""),
        resolved.target_id: resolved.request.target,
    }
    return {id: label for id, label in named.items() if id and label}


def _ask(
    items: list[Planned],
    spool: Spool,
    names: Resolver,
    knowledge: ModelKnowledge,
    seen: Callable[[Planned], str | None] | None,
    in_force: Callable[[str], InForce | None] | None,
    policy: Policy,
    *,
    any_subject: bool,
) -> None:
    # 1. What the journal has, or what it has newer evidence against.
    fresh: list[tuple[int, Resolved]] = []
    for item in items:
        if item.key is None or item.edit is None:  # never so for a new record
            continue
        if seen and (state := seen(item)):
            spool.decide(item.number, Verdict.DUPLICATE, f"an earlier run had this change: {state}")
            continue
        applied = in_force(slot_key(item.edit)) if in_force else None
        if applied and (why := objection(item.dated, applied, policy)):
            told = f"change {applied.number}, which is in force, gives the same fact another object: {why}"
            spool.decide(item.number, Verdict.CONFLICT, f"{told}; with --policy last-wins it would be replaced")
            continue
        try:
            fresh.append((item.number, names.resolve(item.edit)))
        except (KnowledgeGraphError, EditError) as error:  # the graph changed meanwhile
            spool.decide(item.number, Verdict.UNRESOLVED, str(error)[:_TOLD])
    # 2. What the model answers already.
    unknown: list[tuple[int, Resolved]] = []
    for (number, change), known in zip(fresh, knowledge.known([change for _, change in fresh]), strict=True):
        if isinstance(known, EditError):
            spool.decide(number, Verdict.UNRESOLVED, str(known)[:_TOLD])
        elif known:
            why = f"the model answers {change.request.target} already, in every wording asked"
            spool.decide(number, Verdict.KNOWN, why)
        else:
            unknown.append((number, change))
    # 3. Subjects of which it knows nothing.
    if any_subject:
        return
    for (number, change), familiar in zip(unknown, knowledge.familiar([change for _, change in unknown]), strict=True):
        if familiar and not familiar.knows and not (in_force and in_force(slot_key(change.edit))):
            why = f"the model knows none of the facts asked about {change.request.subject} ({familiar.told})"
            spool.decide(number, Verdict.UNFAMILIAR, f"{why[:_TOLD]}; --any-subject takes it all the same")
