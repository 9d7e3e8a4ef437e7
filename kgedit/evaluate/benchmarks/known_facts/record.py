"""Facts that GPT-2 XL knows, for causal tracing (Meng et al., 2022): nothing is edited, the facts are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgedit.evaluate.benchmarks.raw import Raw, slot
from kgedit.evaluate.benchmarks.records import Drop, Name, Prompt, PropertyId, Record


class KnownFactRecord(Record):
    """One fact.

    Attributes:
        subject: As written in the prompt.
        prompt: Cloze with "{}" in the place of the subject. The file's own `template` often stops a word earlier
            than the `prompt` that was traced, so this is made from the latter.
        answer: The object.
        relation_id: Wikidata property.
        prediction: The text that GPT-2 XL went on with, as it came.
    """

    subject: Name
    prompt: Prompt
    answer: Name
    relation_id: PropertyId | None = None
    prediction: str | None = None


class _RawFact(Raw):
    known_id: int
    subject: str
    attribute: str
    prompt: str
    prediction: str | None = None
    relation_id: str | None = None


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> KnownFactRecord:
    """A record of known_1000.json."""
    parsed = _RawFact.model_validate(raw)
    return KnownFactRecord(
        case_id=parsed.known_id,
        subject=parsed.subject,
        prompt=slot(parsed.prompt, parsed.subject),
        answer=parsed.attribute,
        relation_id=parsed.relation_id,
        prediction=parsed.prediction,
    )
