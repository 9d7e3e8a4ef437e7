"""What a store holds, for readers: every change with its answers before and now, its facts and its numbers.

The report holds no times and no folder, so that equal stores give equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from kg_cache.errors import KnowledgeGraphError
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.graph.subgraph import Subgraph
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.decide.probes import Probes, probabilities
from kgedit.ingest.maintenance import loaded
from kgedit.ingest.plan.plan import Plan, Planned, Verdict
from kgedit.ingest.store.commit import put_noted
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.in_force import WeightsInForce
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.lm.generation.greedy import complete
from kgedit.methods.base import METHODS, Request
from kgedit.progress import Progress

PLANS = "plans"
MOST_SKIPPED = 1000  # of one run; the others stand in its plan

# What differs between equal runs, or stands elsewhere in the report.
_ELSEWHERE = ("feed", "classes", "refusals", "seconds", "recovered", "changed")

Prepared = tuple[Request, Subgraph | None]


class ReportedAnswer(BaseModel):
    """What a model says after the edit prompt, and how probable the whole new object is there."""

    model_config = ConfigDict(frozen=True)

    text: str
    probability: float


class ReportedChange(BaseModel):
    """One change of the journal.

    Attributes:
        id: Its number.
        state: Where it stands.
        subject, relation, target_new: In words, where the graph has them.
        where: Feed and position that it came from.
        question: The edit prompt; None where it cannot be put into words.
        before: Answer of the unedited model; None where it cannot be asked.
        now: Answer of the weights in force; None likewise.
        right: Whether the answer now is exactly the new object.
        reason: Why it was refused or taken back, or what the guards warned of.
        numbers: What was measured when it was decided.
        facts: The subgraph around it, in words, the new fact first.
        partial: Whether the graph is known to lack facts there.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    state: State
    subject: str
    relation: str
    target_new: str
    where: str = ""
    question: str | None = None
    before: ReportedAnswer | None = None
    now: ReportedAnswer | None = None
    right: bool | None = None
    reason: str = ""
    numbers: dict[str, JsonValue] = {}
    facts: tuple[tuple[str, str, str], ...] = ()
    partial: bool = False


class SkippedRecord(BaseModel):
    """A record that was not to be applied."""

    model_config = ConfigDict(frozen=True)

    where: str
    verdict: Verdict
    change: str
    reason: str


class ReportedRun(BaseModel):
    """One run over a file; runs over feeds without end are not noted as such, only their changes are.

    Attributes:
        feed: Its name; None for a run that has not come to its end.
        classes: Class of the plan -> number of records.
        result: What it measured at its end (shares, counts, hash of the weights); empty until then.
        skipped: Records that were not to be applied, at most `MOST_SKIPPED`.
        left_out: Number of further ones.
    """

    model_config = ConfigDict(frozen=True)

    feed: str | None
    classes: dict[str, int]
    result: dict[str, JsonValue]
    skipped: tuple[SkippedRecord, ...]
    left_out: int = 0


class IngestReport(BaseModel):
    """All of a store.

    Attributes:
        model: Its model.
        base_hash: Hash of the unedited weights.
        weights_hash: Hash of the weights in force.
        states: State -> number of changes.
        right: Share of the changes in force that answer right now; None if there are none.
        runs: The runs, in order.
        changes: The changes, in order of receipt.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    base_hash: str
    weights_hash: str
    states: dict[str, int]
    right: float | None
    runs: tuple[ReportedRun, ...]
    changes: tuple[ReportedChange, ...]


def build_report(
    store: IngestStore, editor: Editor, weights: WeightsInForce, *, progress: Progress | None = None
) -> IngestReport:
    """Ask every change on the unedited model and on the weights in force; both are left as they are.

    Args:
        store: The store, open.
        editor: Its model and graph; its method says how far subgraphs reach.
        weights: The model's weights in force.
        progress: Called with (what, done, total).

    Raises:
        FileCorrupt: The plan of a run is damaged.
    """
    entries = list(store.entries())
    if progress:
        progress("asking for the report", 0, 2 * len(entries))
    prepared = [_prepared(editor, entry) for entry in entries]
    asked = [None if one is None else _question(one[0]) for one in prepared]
    questions = [question for question in asked if question is not None]
    with weights.trial([]):
        before = iter(_answers(editor, questions))
    if progress:
        progress("asking for the report", len(entries), 2 * len(entries))
    now = iter(_answers(editor, questions))
    right = iter(ask_all(editor.model, editor.tokenizer, questions))
    changes = []
    for entry, one, question in zip(entries, prepared, asked, strict=True):
        change = _change(entry, one)
        if question is not None:
            found = {"question": question[0], "before": next(before), "now": next(now), "right": next(right)}
            change = change.model_copy(update=found)
        changes.append(change)
    live = [change.right is True for change in changes if change.state == State.CHECKED]
    return IngestReport(
        model=store.model,
        base_hash=store.base_hash,
        weights_hash=store.weights_hash,
        states=store.journal.counts(),
        right=round(sum(live) / len(live), 4) if live else None,
        runs=tuple(_run(store, *run) for run in store.journal.runs()),
        changes=tuple(changes),
    )


def report_of(directory: Path, *, progress: Progress | None = None) -> IngestReport:
    """The report of a store on disk; nothing is written.

    Raises:
        FileCorrupt, JournalError, WrongBase: Something is not as it should be; the message says what.
    """
    with open_store(directory) as store:
        used = [str(result.get("method")) for _, _, result in store.journal.runs() if result]
        method = used[-1] if used and used[-1] in METHODS else "glame"  # for an adapter it built the subgraphs
        editor, weights = loaded(store, method)
        put_noted(store, weights)
        return build_report(store, editor, weights, progress=progress)


def _prepared(editor: Editor, entry: Entry) -> Prepared | None:
    try:
        return editor.prepare(Edit.model_validate(entry.change["edit"]))
    except (EditError, KnowledgeGraphError):  # refused for it; the journal has the reason
        return None


def _question(request: Request) -> tuple[str, str]:
    return request.prompt.replace("{}", request.subject), request.target


def _answers(editor: Editor, questions: Sequence[tuple[str, str]]) -> list[ReportedAnswer | None]:
    """An answer for each question; None for one that cannot be put to the model (too long, no token)."""
    if not questions:
        return []
    try:
        texts = complete(editor.model, editor.tokenizer, [prompt for prompt, _ in questions])
    except EditError:
        if len(questions) == 1:
            return [None]
        middle = len(questions) // 2
        return _answers(editor, questions[:middle]) + _answers(editor, questions[middle:])
    likely = probabilities(editor.model, editor.tokenizer, [Probes((question,)) for question in questions])
    return [ReportedAnswer(text=text, probability=round(share, 4)) for text, share in zip(texts, likely, strict=True)]


def _change(entry: Entry, prepared: Prepared | None) -> ReportedChange:
    edit: Any = entry.change["edit"]
    source: Any = entry.change.get("provenance") or {}
    relation = edit["relation"] or edit["prompt"] or ""
    words = {"subject": edit["subject"], "relation": relation, "target_new": edit["target_new"]}
    facts: tuple[tuple[str, str, str], ...] = ()
    partial = False
    if prepared is not None:
        request, subgraph = prepared
        words |= {"subject": request.subject, "target_new": request.target}
        if subgraph is not None:
            label = subgraph.labels
            words["relation"] = label[subgraph.triples[0].relation]
            facts = tuple((label[s], label[r], label[o]) for s, r, o in subgraph.triples)
            partial = bool(subgraph.partial or subgraph.missing)
    return ReportedChange(
        id=entry.id,
        state=entry.state,
        **words,
        where=f"{source['feed']}, {source['position']}" if source else "",
        reason=entry.reason,
        numbers=entry.numbers,
        facts=facts,
        partial=partial,
    )


def _run(store: IngestStore, fingerprint: str, classes: dict[str, int], result: dict[str, Any] | None) -> ReportedRun:
    path = store.directory / PLANS / f"{fingerprint[:16]}.jsonl"
    skipped: list[SkippedRecord] = []
    left_out = sum(classes.values()) - classes.get(Verdict.NEW, 0)
    if path.is_file():
        others = (item for item in Plan.load(path) if item.verdict != Verdict.NEW)
        skipped = [_skipped(item) for item, _ in zip(others, range(MOST_SKIPPED), strict=False)]
        left_out -= len(skipped)
    kept = {name: value for name, value in (result or {}).items() if name not in _ELSEWHERE}
    feed = result["feed"] if result else None
    return ReportedRun(feed=feed, classes=classes, result=kept, skipped=tuple(skipped), left_out=left_out)


def _skipped(item: Planned) -> SkippedRecord:
    edit = item.change.edit if item.change else None
    words = "" if edit is None else f"{edit.subject} | {edit.relation or edit.prompt} | {edit.target_new}"
    return SkippedRecord(where=item.where, verdict=item.verdict, change=words, reason=item.reason)
