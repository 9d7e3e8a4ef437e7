"""Records of runs: what a run over a feed planned and what it measured at its end."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue

from kgedit.ingest.change import in_words
from kgedit.ingest.store.entry import Entry


class RefusedChange(BaseModel):
    """A change that the guards refused, or that could not be carried out."""

    model_config = ConfigDict(frozen=True)

    id: int
    subject: str
    relation: str | None
    target_new: str
    reason: str
    numbers: dict[str, JsonValue]
    labels: dict[str, str] = {}

    @classmethod
    def of(cls, entry: Entry, reason: str, numbers: Mapping[str, JsonValue]) -> RefusedChange:
        """A change of the journal, with why it was refused and what was measured of it."""
        return cls(
            id=entry.id,
            subject=entry.edit.subject,
            relation=entry.edit.relation,
            target_new=entry.edit.target_new,
            reason=reason,
            numbers=dict(numbers),
            labels=entry.change.labels,
        )

    @property
    def words(self) -> tuple[str, str, str]:
        """Subject, relation and new object, ids behind their labels."""
        return in_words((self.subject, self.relation or "", self.target_new), self.labels)


class RunResult(BaseModel):
    """The result of a run; `kgedit ingest run` prints it.

    Attributes:
        feed: Name of the feed.
        method: Name of the method that computed the deltas.
        records: Number of records of the feed.
        classes: Class of the plan -> number of records.
        accepted: Number of changes applied to the model when the run ended, whichever run accepted them.
        refused: Number of changes that the guards refused.
        superseded: Number of changes that a later one replaced.
        accepted_right: Share of the applied changes whose edit prompt is answered right.
        accepted_right_in_chat: The same of its question as a user's turn; None where changes are made in no chat form.
        unrelated_recalled: Share of unrelated facts, recalled by the unedited model, that are still recalled.
        unrelated_asked: Number of these facts.
        notes: What a reader should know: settings that are a guess, what the second moments were collected from.
        watched: Number of other recalled facts that the guards watched; a model that recalls few has few.
        refusals: The refused changes, with what was measured.
        weights_hash: Hash of the edited weights.
        repeatable: Whether the same run elsewhere gives the same hash; `lm.device.repeatable`.
        changed: Number of changes that this run decided; 0 when all had been decided before.
        recovered: Number of changes that a killed run had begun and this one finished.
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
    accepted_right_in_chat: float | None = None
    notes: tuple[str, ...] = ()
    repeatable: str = ""
    watched: int = 0
    changed: int = 0
    recovered: int = 0
    seconds: float = 0.0


class RunRecord(BaseModel):
    """A run as the journal notes it.

    Attributes:
        fingerprint: Hash of the feed's content and of the options that decide its plan.
        counts: Class of the plan -> number of records.
        result: What it measured at its end; None until then.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    counts: dict[str, int]
    result: RunResult | None = None
