"""zsRE question answering as MEND split it (Mitchell et al., 2022), with or without a portability question.

`alt` is the edit's target and `answers` the truth; `pred` is what some other model said. The locality question is
one of Natural Questions and keeps its prefix "nq question: ".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgedit.evaluate.benchmarks.raw import Raw, RawPortability, names, slot
from kgedit.evaluate.benchmarks.records import Drop, MalformedRecord, Portability, Probe, Prompt, Record, Rewrite


class ZsreRecord(Record):
    """One question with a new answer.

    Attributes:
        paraphrases: The question reworded.
        true_answers: Names that count as the answer before the edit; the first is the rewrite's `target_true`.
        locality: An unrelated question with its answer.
        portability: The one-hop question, where the file has it.
        predicted: What the model of the data set's authors answered.
    """

    paraphrases: tuple[Prompt, ...]
    true_answers: tuple[Prompt, ...]
    locality: tuple[Probe, ...]
    portability: Portability | None = None
    predicted: str | None = None


class _RawZsre(Raw):
    subject: str
    src: str
    rephrase: str
    alt: str
    answers: list[str]
    loc: str
    loc_ans: str
    pred: str | None = None
    portability: RawPortability | None = None


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> ZsreRecord:
    """A record of the MEND split; a portability question is read where there is one."""
    parsed = _RawZsre.model_validate(raw)
    if not parsed.alt.strip():
        raise MalformedRecord("alt: empty, so there is nothing to edit the answer to")
    answers = names(parsed.answers, "answers", drop)
    rewrite = Rewrite(
        subject=parsed.subject,
        prompt=slot(parsed.src, parsed.subject),
        target_new=parsed.alt,
        target_true=answers[0] if answers else None,
        question=parsed.src,
    )
    return ZsreRecord(
        case_id=index,
        rewrites=(rewrite,),
        paraphrases=(parsed.rephrase,),
        true_answers=answers,
        locality=(Probe(prompt=parsed.loc, answers=((parsed.loc_ans,),)),),
        portability=parsed.portability and parsed.portability.portability(),
        predicted=parsed.pred,
    )


def read_plus(raw: Mapping[str, Any], index: int, drop: Drop) -> ZsreRecord:
    """A record that must have its portability question."""
    record = read(raw, index, drop)
    if record.portability is None:
        raise MalformedRecord("portability: the record has no portability question, unlike the others of its file")
    return record
