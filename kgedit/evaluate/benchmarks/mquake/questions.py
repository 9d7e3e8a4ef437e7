"""MQuAKE cases reduced to their questions and edits, as other projects publish them (.questions_and_edits.jsonl).

No ids, aliases or old answers are left, and `index` is not MQuAKE's case_id. Subject and relation of an edit are
found by the published wordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from kgedit.evaluate.benchmarks.mquake.wordings import WORDINGS
from kgedit.evaluate.benchmarks.raw import Raw
from kgedit.evaluate.benchmarks.records import Drop, MalformedRecord, Prompt, Record, Rewrite


class MQuakeQuestions(Record):
    """One case without its old side.

    Attributes:
        questions: The multi-hop question in three wordings.
        n_hops: Length of the chain, where the file says so.
        edited: Position on the chain of each rewrite, where the file says so.
        new_answer: The answer after the edits if it can be told: it is the new object of an edited last hop.
    """

    questions: tuple[Prompt, ...] = Field(min_length=1)
    n_hops: int | None = None
    edited: tuple[int, ...] = ()
    new_answer: Prompt | None = None


class _RawEdit(Raw):
    question: str
    edit: str
    new_answer: str


class _RawQuestions(Raw):
    index: int
    n_hops: int | None = None
    questions: list[str]
    edited_hops: list[_RawEdit | None]


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> MQuakeQuestions:
    """A record of either file; the one of the temporal set lists its edited hop alone."""
    parsed = _RawQuestions.model_validate(raw)
    edits = [(position, edit) for position, edit in enumerate(parsed.edited_hops) if edit is not None]
    if not edits:
        raise MalformedRecord("edited_hops: no hop is edited")
    whole_chain = parsed.n_hops is not None
    if whole_chain and parsed.n_hops != len(parsed.edited_hops):
        raise MalformedRecord(f"edited_hops: {len(parsed.edited_hops)} hops where n_hops says {parsed.n_hops}")
    last = parsed.edited_hops[-1] if whole_chain else None
    return MQuakeQuestions(
        case_id=parsed.index,
        rewrites=tuple(_rewrite(edit) for _, edit in edits),
        questions=tuple(parsed.questions),
        n_hops=parsed.n_hops,
        edited=tuple(position for position, _ in edits) if whole_chain else (),
        new_answer=last.new_answer if last is not None else None,
    )


def _rewrite(edit: _RawEdit) -> Rewrite:
    statement = edit.edit.removesuffix(edit.new_answer).rstrip()
    if statement == edit.edit.rstrip():
        raise MalformedRecord(f"edit: {edit.edit!r} does not end with its new answer {edit.new_answer!r}")
    subject, relations = _read_fact(statement, edit.question)
    return Rewrite(
        subject=subject,
        prompt=WORDINGS[relations[0]].cloze,
        target_new=edit.new_answer,
        question=edit.question,
        relation_id=relations[0] if len(relations) == 1 else None,
    )


def _read_fact(statement: str, question: str) -> tuple[str, list[str]]:
    """Subject and relation for which statement and question are the published wordings.

    "The author of Misery is" fits two relations (P50 of Misery, and P1308 of "author of Misery"): the wording that
    leaves less to the subject is meant. P131 and P276 are worded alike, so that both remain.
    """
    fits = [
        (subject, relation)
        for relation, wording in WORDINGS.items()
        if (subject := _filled(statement, wording.cloze)) and subject == _filled(question.strip(), wording.question)
    ]
    if not fits:
        raise MalformedRecord(f"edit: {statement!r} with {question!r} is not worded as any relation of MQuAKE is")
    subject = min((subject for subject, _ in fits), key=len)
    return subject, [relation for name, relation in fits if name == subject]


def _filled(text: str, wording: str) -> str | None:
    """What stands in the slot of the wording, if the text is that wording."""
    before, after = wording.split("{}")
    inside = text.removeprefix(before).removesuffix(after)
    return inside if inside and text == before + inside + after else None
