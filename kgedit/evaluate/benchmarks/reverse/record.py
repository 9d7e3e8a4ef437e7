"""BAKE (Ma et al., 2023): CounterFact's layout with a question about the new object whose answer is the subject.

`reverse_qa` is asked where an object has few subjects (BAKE-Q&J), `reverse_judge` is answered by yes or no and stands
in every record; the released evaluation (mjy1111/BAKE on GitHub) reads of each its prompt and the name of
`target_new`. Made files have one more key: `object_facts`, other facts of the new object, which must stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgedit.evaluate.benchmarks.counterfact import record as counterfact_format
from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord, RawTarget
from kgedit.evaluate.benchmarks.raw import Raw
from kgedit.evaluate.benchmarks.records import Drop, MalformedRecord, Name, Probe, Prompt
from kgedit.evaluate.results import Frozen


class ReverseQuestion(Frozen):
    """A prompt about the new object.

    Attributes:
        prompt: The prompt, which ends where the answer begins.
        answer: Its answer after the edit.
        before: Its answer before the edit, where the file tells it.
    """

    prompt: Prompt
    answer: Name
    before: Name | None = None


class ReverseRecord(CounterFactRecord):
    """One counterfactual that is asked from both sides.

    Attributes:
        reverse: The inverse question; its answer is the edit's subject.
        judgement: The inverse fact to be judged; its answer is yes.
        object_facts: Prompts about other facts of the new object, with their answers.
    """

    reverse: ReverseQuestion | None = None
    judgement: ReverseQuestion | None = None
    object_facts: tuple[Probe, ...] = ()


class _RawQuestion(Raw):
    prompt: str
    target_new: RawTarget
    target_true: RawTarget | None = None

    def question(self) -> ReverseQuestion:
        before = self.target_true and self.target_true.name
        return ReverseQuestion(prompt=self.prompt, answer=self.target_new.name, before=before or None)


class _RawFact(Raw):
    prompt: str
    target: RawTarget


class _RawReverse(Raw):
    reverse_qa: _RawQuestion | None = None
    reverse_judge: _RawQuestion | None = None
    object_facts: list[_RawFact] = []


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> ReverseRecord:
    """A record of either file of BAKE, or of a made one; what CounterFact has beside may be absent.

    Raises:
        MalformedRecord: It asks no inverse question.
    """
    if raw.get("reverse_qa") is None and raw.get("reverse_judge") is None:
        raise MalformedRecord(
            "reverse_qa, reverse_judge: the record has neither, so nothing is asked of its new object"
        )
    absent = {"case_id": index, "paraphrase_prompts": [], "neighborhood_prompts": []}
    record = counterfact_format.read(absent | dict(raw), index, drop)
    parsed = _RawReverse.model_validate(raw)
    return ReverseRecord(
        **dict(record),
        reverse=parsed.reverse_qa and parsed.reverse_qa.question(),
        judgement=parsed.reverse_judge and parsed.reverse_judge.question(),
        object_facts=tuple(Probe(prompt=fact.prompt, answers=((fact.target.name,),)) for fact in parsed.object_facts),
    )


def to_original(record: ReverseRecord) -> dict[str, Any]:
    """The record in the layout of the file; keys in CounterFact's order, then those of the inverse."""
    written = counterfact_format.to_original(record)
    for key, question in (("reverse_qa", record.reverse), ("reverse_judge", record.judgement)):
        if question is not None:
            before = {} if question.before is None else {"target_true": {"str": question.before}}
            written[key] = {"prompt": question.prompt, "target_new": {"str": question.answer}} | before
    facts = [{"prompt": probe.prompt, "target": {"str": probe.answer}} for probe in record.object_facts]
    return written | {"object_facts": facts}
