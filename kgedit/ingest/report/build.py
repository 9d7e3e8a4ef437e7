"""Builds the report of a store: asks every change on the unedited model and on the edited one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from kg_cache.errors import KnowledgeGraphError
from kg_cache.graph import KnowledgeGraph
from kg_cache.ids import is_entity_id, is_relation_id
from kgedit.delta import DeltaStack
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.graph.subgraph import Subgraph
from kgedit.ingest.change import day, words
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.plan.plan import Plan, Planned, Verdict
from kgedit.ingest.report.answers import Question, answers, followed, said, verdicts
from kgedit.ingest.report.report import (
    IngestReport,
    ReportedAnswer,
    ReportedChange,
    ReportedQuestion,
    ReportedRun,
    SkippedRecord,
)
from kgedit.ingest.session import open_edited
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.run_record import RunRecord
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.lm.base_name import public_name
from kgedit.lm.loading import Loading
from kgedit.methods.base import Request
from kgedit.methods.registry import method_names
from kgedit.progress import Progress

MOST_SKIPPED = 1000  # of one run; the others are in its plan

# Fields of a run's result that differ between equal runs, or are reported elsewhere.
_ELSEWHERE = {"feed", "classes", "refusals", "seconds", "recovered", "changed"}


def build_report(
    directory: str | Path, *, progress: Progress | None = None, **loading: Unpack[Loading]
) -> IngestReport:
    """The report of a store on disk; nothing is written.

    Raises:
        FileCorrupt, JournalError, WrongBase: Something is not as it should be; the message says what.
    """
    with open_store(directory) as store:
        used = [run.result.method for run in store.journal.runs() if run.result]
    method = used[-1] if used and used[-1] in method_names() else "glame"  # its subgraphs are shown
    with open_edited(directory, method=method, **loading) as (store, editor, weights):
        return report_on(store, editor, weights, progress=progress)


def report_on(
    store: IngestStore, editor: Editor, weights: DeltaStack, *, progress: Progress | None = None
) -> IngestReport:
    """The report of an open store; model and store are left as they are.

    Args:
        store: The store.
        editor: Its model and graph; its method says how far subgraphs reach.
        weights: The model's weights with the live deltas applied.
        progress: Called with (what, done, total).

    Raises:
        FileCorrupt: The plan of a run is damaged.
    """
    entries = list(store.entries())
    asked = _ask(editor, weights, entries, progress)
    changes = [_reported(editor.graph, entry, answered) for entry, answered in zip(entries, asked, strict=True)]
    applied = [change.right is True for change in changes if change.state == State.CHECKED]
    return IngestReport(
        model=public_name(editor.model, store.model),
        base_hash=store.base_hash,
        weights_hash=store.weights_hash,
        states=store.journal.counts(),
        right=round(sum(applied) / len(applied), 4) if applied else None,
        runs=tuple(_run(store, run) for run in store.journal.runs()),
        changes=tuple(changes),
    )


class _Asked(NamedTuple):
    """What was asked about one change, and what was said.

    Attributes:
        request: The edit as a method is asked for it.
        subgraph: The facts around it.
        before: The answer of the unedited model; None where the question cannot be put.
        now: That of the edited one.
        right: Whether the edited one answers right.
        follows: Place of a fact in the subgraph -> the question that reaches it, and whether it is answered right.
    """

    request: Request
    subgraph: Subgraph | None
    before: ReportedAnswer | None
    now: ReportedAnswer | None
    right: bool
    follows: dict[int, tuple[ReportedQuestion, bool]]


def _ask(
    editor: Editor, weights: DeltaStack, entries: Sequence[Entry], progress: Progress | None
) -> list[_Asked | None]:
    """Ask about all changes; None for one whose names mean nothing any more."""
    if progress:
        progress("asking for the report", 0, 2 * len(entries))
    prepared = [_prepared(editor, entry) for entry in entries]
    questions = [(request.question, request.target) for request, _ in filter(None, prepared)]
    with weights.trial([]):
        before = iter(answers(editor, questions))
    if progress:
        progress("asking for the report", len(entries), 2 * len(entries))
    now = iter(answers(editor, questions))
    right = iter(ask_all(editor.model, editor.tokenizer, questions))
    # What follows from each change in force, over one more fact of its subgraph.
    around = [
        followed(*resolved, editor.text) if resolved and entry.state == State.CHECKED else {}
        for entry, resolved in zip(entries, prepared, strict=True)
    ]
    follows = iter(_answered(editor, [pair for pairs in around for pair in pairs.values()]))
    return [
        None
        if resolved is None
        else _Asked(*resolved, next(before), next(now), next(right), {place: next(follows) for place in pairs})
        for resolved, pairs in zip(prepared, around, strict=True)
    ]


def _answered(editor: Editor, questions: Sequence[Question]) -> list[tuple[ReportedQuestion, bool]]:
    """Each question with its answer, and whether that is right.

    What is answered right is the object itself, so only the other answers are written.
    """
    right = ask_all(editor.model, editor.tokenizer, questions)
    wrong = iter(said(editor, [pair for pair, is_right in zip(questions, right, strict=True) if not is_right]))
    return [
        (ReportedQuestion(question=question, right=label, now=label if is_right else next(wrong)), is_right)
        for (question, label), is_right in zip(questions, right, strict=True)
    ]


def _reported(graph: KnowledgeGraph, entry: Entry, asked: _Asked | None) -> ReportedChange:
    change = _change(entry)
    if asked is None:
        return change
    request, subgraph = asked.request, asked.subgraph
    told = {"question": request.question, "before": asked.before, "now": asked.now, "right": asked.right}
    change = change.model_copy(update={**told, **_labels(graph, entry, request, subgraph)})
    if subgraph is None:
        return change
    # The new fact is the first of the subgraph.
    itself = {0: change.right} if entry.state == State.CHECKED else {}
    found = {place: right for place, (_, right) in asked.follows.items()} | itself
    questions = {place: question for place, (question, _) in asked.follows.items()} | {0: _itself(change)}
    return change.model_copy(
        update={
            "answered": verdicts(found, subgraph),
            "asked": tuple(questions.get(place) for place in range(len(subgraph.triples))),
        }
    )


def _prepared(editor: Editor, entry: Entry) -> tuple[Request, Subgraph | None] | None:
    try:
        return editor.prepare(entry.edit)
    except (EditError, KnowledgeGraphError):  # refused for it; the journal has the reason
        return None


def _itself(change: ReportedChange) -> ReportedQuestion:
    before, now = (answer and answer.text for answer in (change.before, change.now))
    return ReportedQuestion(question=change.question or "", right=change.target_new, before=before, now=now)


def _change(entry: Entry) -> ReportedChange:
    subject, relation, target = words(entry.edit)
    return ReportedChange(
        id=entry.id,
        state=entry.state,
        subject=subject,
        relation=relation,
        target_new=target,
        target_true=entry.edit.target_true or "",
        where=entry.change.where,
        evidence=entry.change.evidence,
        dated=day(entry.change.dated),
        notes=entry.change.notes,
        reason=entry.reason,
        numbers=entry.numbers,
    )


def _labels(graph: KnowledgeGraph, entry: Entry, request: Request, subgraph: Subgraph | None) -> dict[str, object]:
    """Fields of a reported change by the labels of the graph."""
    edit = entry.edit
    ids = [part for part in words(edit) if is_entity_id(part) or is_relation_id(part)]
    fields: dict[str, object] = {"subject": request.subject, "target_new": request.target, "ids": " ".join(ids)}
    if edit.target_true and is_entity_id(edit.target_true):
        fields["target_true"] = graph.labels([edit.target_true])[edit.target_true]
    if subgraph is not None:
        label = subgraph.labels
        fields["relation"] = label[subgraph.triples[0].relation]
        fields["facts"] = tuple((label[s], label[r], label[o]) for s, r, o in subgraph.triples)
        fields["partial"] = bool(subgraph.partial or subgraph.missing)
    return fields


def _run(store: IngestStore, run: RunRecord) -> ReportedRun:
    path = store.plan_file(run.fingerprint)
    skipped: list[SkippedRecord] = []
    left_out = sum(run.counts.values()) - run.counts.get(Verdict.NEW, 0)
    feed = run.result.feed if run.result else None
    if path.is_file():
        plan = Plan.load(path)
        feed = feed or _decided(store, plan)
        others = (planned for planned in plan if planned.verdict != Verdict.NEW)
        skipped = [_skipped(planned) for planned, _ in zip(others, range(MOST_SKIPPED), strict=False)]
        left_out -= len(skipped)
    return ReportedRun(
        feed=feed,
        classes=run.counts,
        result=run.result.model_dump(mode="json", exclude=_ELSEWHERE) if run.result else {},
        skipped=tuple(skipped),
        left_out=left_out,
    )


def _decided(store: IngestStore, plan: Plan) -> str | None:
    """The feed of a plan whose changes are all decided, as a follower leaves it; None while one waits."""
    first = next(iter(plan), None)
    source = first and (first.change.provenance if first.change else first.malformed)
    waiting = store.entries(State.RECEIVED, State.PREPARED, State.APPLIED)
    feeds = {entry.change.provenance.feed for entry in waiting if entry.change.provenance}
    return source.feed if source and source.feed not in feeds else None


def _skipped(planned: Planned) -> SkippedRecord:
    change = planned.change
    return SkippedRecord(
        where=planned.where,
        verdict=planned.verdict,
        change=" | ".join(words(planned.edit or change.edit, planned.labels)) if change else "",
        reason=planned.reason,
        evidence=(change.provenance.evidence or "") if change else "",
        dated=day(planned.dated),
    )
