"""The report of a store as data: runs, and every change with its answers before and now, its facts and its numbers.

It holds no times and no folder, so that equal stores give equal bytes.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

from kgedit.ingest.plan.plan import Verdict
from kgedit.ingest.store.entry import State


class ReportedAnswer(BaseModel):
    """The answer of a model to the edit prompt, and the probability of the whole new object there."""

    model_config = ConfigDict(frozen=True)

    text: str
    probability: float


class ReportedQuestion(BaseModel):
    """What was asked about one fact of a drawing, and the answers of the model without the change and with it."""

    model_config = ConfigDict(frozen=True)

    question: str
    right: str
    before: str | None = None
    now: str | None = None


class ReportedChange(BaseModel):
    """One change of the journal.

    Attributes:
        id: Its number.
        state: Its state.
        subject, relation, target_new: In words, where the graph has them.
        target_true: The object that the feed says it replaces, likewise; empty where it says none.
        ids: The same as ids, as far as they are known.
        where: Feed and position that it came from.
        evidence: What the source gives for it.
        dated: Day that the source says the fact or its evidence is of; the newest, where several records had one.
        notes: What was taken for what when it was planned.
        question: The edit prompt; None where it cannot be put into words.
        before: Answer of the unedited model; None where it cannot be asked.
        now: Answer of the edited model; None likewise.
        right: Whether the answer now is exactly the new object.
        reason: Why it was refused or undone, or what the guards warned of.
        numbers: What was measured when it was decided.
        facts: The subgraph around it, as labels, the new fact first.
        answered: Of each of these facts whether the edited model answers it right through the new fact; None where it
            was not asked.
        asked: Of each of these facts what was asked about it; None where it was not. Without the change only the
            question about the new fact itself was asked.
        partial: Whether the graph is known to lack facts there.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    state: State
    subject: str
    relation: str
    target_new: str
    target_true: str = ""
    ids: str = ""
    where: str = ""
    evidence: str = ""
    dated: str = ""
    notes: tuple[str, ...] = ()
    question: str | None = None
    before: ReportedAnswer | None = None
    now: ReportedAnswer | None = None
    right: bool | None = None
    reason: str = ""
    numbers: dict[str, JsonValue] = {}
    facts: tuple[tuple[str, str, str], ...] = ()
    answered: tuple[bool | None, ...] = ()
    asked: tuple[ReportedQuestion | None, ...] = ()
    partial: bool = False


class SkippedRecord(BaseModel):
    """A record that was not to be applied."""

    model_config = ConfigDict(frozen=True)

    where: str
    verdict: Verdict
    change: str
    reason: str
    evidence: str = ""
    dated: str = ""


class ReportedRun(BaseModel):
    """One run over a file; of a run over a stream only the changes are noted.

    Attributes:
        feed: Name of the feed; None for a run that did not end.
        classes: Class of the plan -> number of records.
        result: Shares, counts and hash of the weights, measured at its end; empty until then, and for a file that was
            followed.
        skipped: Records that were not to be applied, at most `build.MOST_SKIPPED`.
        left_out: Number of further ones.
    """

    model_config = ConfigDict(frozen=True)

    feed: str | None
    classes: dict[str, int]
    result: dict[str, JsonValue]
    skipped: tuple[SkippedRecord, ...]
    left_out: int = 0


class IngestReport(BaseModel):
    """The content of a store.

    Attributes:
        model: Name of the model.
        base_hash: Hash of the unedited weights.
        weights_hash: Hash of the edited weights.
        states: State -> number of changes.
        right: Share of the applied changes that are answered right now; None if there are none.
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
