"""CounterFact (Meng et al., 2022): the original layout, with portability (CounterFactPlus), and flattened.

CounterFactPlus here is the set of Yao et al. (2023) that GLAME uses: one portability question per record (in made
files, where the facts give one). The set of the same name by Hoelscher-Obermaier et al. is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from kgedit.evaluate.benchmarks.raw import Raw, RawPortability, slot
from kgedit.evaluate.benchmarks.records import Drop, MalformedRecord, Portability, Probe, Prompt, Record, Rewrite


class CounterFactRecord(Record):
    """One counterfactual and what must and must not change with it.

    Attributes:
        paraphrases: Other wordings of the edited fact.
        neighborhood: Prompts about other subjects that share the old object, with that object as the answer.
        attributes: Prompts about subjects that have the new object, with it as the answer.
        generation: Beginnings of free text about the subject.
        portability: The one-hop question, in CounterFactPlus.
        pararel_idx: Where the fact stands in ParaRel, in the original file.
    """

    paraphrases: tuple[Prompt, ...] = ()
    neighborhood: tuple[Probe, ...] = ()
    attributes: tuple[Probe, ...] = ()
    generation: tuple[Prompt, ...] = ()
    portability: Portability | None = None
    pararel_idx: int | None = None


class RawTarget(Raw):
    """An object: its name and item, as CounterFact and MQuAKE write it."""

    name: str = Field(alias="str")
    id: str | None = None


class _RawRewrite(Raw):
    prompt: str
    relation_id: str | None = None
    target_new: RawTarget
    target_true: RawTarget
    subject: str


class _RawOriginal(Raw):
    case_id: int
    pararel_idx: int | None = None
    requested_rewrite: _RawRewrite
    paraphrase_prompts: list[str]
    neighborhood_prompts: list[str]
    attribute_prompts: list[str] = []
    generation_prompts: list[str] = []
    portability: RawPortability | None = None


class _RawFlat(Raw):
    case_id: int | None = None
    prompt: str
    subject: str
    target_new: str
    ground_truth: str
    rephrase_prompt: str
    locality_prompt: str
    locality_ground_truth: str
    portability: RawPortability | None = None


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> CounterFactRecord:
    """A record of the original file, with or without portability."""
    parsed = _RawOriginal.model_validate(raw)
    stated = parsed.requested_rewrite
    return CounterFactRecord(
        case_id=parsed.case_id,
        rewrites=(
            Rewrite(
                subject=stated.subject,
                prompt=stated.prompt,
                target_new=stated.target_new.name,
                target_true=stated.target_true.name,
                relation_id=stated.relation_id,
                target_new_id=stated.target_new.id,
                target_true_id=stated.target_true.id,
            ),
        ),
        paraphrases=tuple(parsed.paraphrase_prompts),
        neighborhood=_probes(parsed.neighborhood_prompts, stated.target_true.name),
        attributes=_probes(parsed.attribute_prompts, stated.target_new.name),
        generation=tuple(parsed.generation_prompts),
        portability=parsed.portability and parsed.portability.portability(),
        pararel_idx=parsed.pararel_idx,
    )


def read_plus(raw: Mapping[str, Any], index: int, drop: Drop) -> CounterFactRecord:
    """A record of CounterFactPlus, which must have its portability question, or say with null that there is none."""
    record = read(raw, index, drop)
    if "portability" not in raw:
        raise MalformedRecord("portability: the record has no portability question, unlike the others of its file")
    return record


def read_flat(raw: Mapping[str, Any], index: int, drop: Drop) -> CounterFactRecord:
    """A record of the flattened file: subject written out, one paraphrase, one neighbour with its own answer."""
    parsed = _RawFlat.model_validate(raw)
    rewrite = Rewrite(
        subject=parsed.subject,
        prompt=slot(parsed.prompt, parsed.subject),
        target_new=parsed.target_new,
        target_true=parsed.ground_truth,
    )
    return CounterFactRecord(
        case_id=index if parsed.case_id is None else parsed.case_id,
        rewrites=(rewrite,),
        paraphrases=(parsed.rephrase_prompt,),
        neighborhood=_probes([parsed.locality_prompt], parsed.locality_ground_truth),
        portability=parsed.portability and parsed.portability.portability(),
    )


def to_original(record: CounterFactRecord) -> dict[str, Any]:
    """The record in the layout of the original file; keys in its order.

    Raises:
        MalformedRecord: A neighbour or attribute prompt has another answer than the old or the new object, for which
            the original layout has no place.
    """
    rewrite = record.rewrite
    if rewrite.target_true is None:
        raise MalformedRecord(f"case {record.case_id} has no old object, which the original layout needs")
    written: dict[str, Any] = {"case_id": record.case_id}
    if record.pararel_idx is not None:
        written["pararel_idx"] = record.pararel_idx
    written["requested_rewrite"] = {
        "prompt": rewrite.prompt,
        "relation_id": rewrite.relation_id,
        "target_new": {"str": rewrite.target_new, "id": rewrite.target_new_id},
        "target_true": {"str": rewrite.target_true, "id": rewrite.target_true_id},
        "subject": rewrite.subject,
    }
    written["paraphrase_prompts"] = list(record.paraphrases)
    written["neighborhood_prompts"] = _prompts(record.neighborhood, rewrite.target_true)
    written["attribute_prompts"] = _prompts(record.attributes, rewrite.target_new)
    written["generation_prompts"] = list(record.generation)
    if (question := record.portability) is not None:
        written["portability"] = {
            "Recalled Relation": question.relation,
            "New Question": question.question,
            "New Answer": question.answer,
        }
        if question.aliases:
            written["portability"]["New Answer Alias"] = list(question.aliases)
    return written


def _probes(prompts: list[str], answer: str) -> tuple[Probe, ...]:
    return tuple(Probe(prompt=prompt, answers=((answer,),)) for prompt in prompts)


def _prompts(probes: tuple[Probe, ...], answer: str) -> list[str]:
    for probe in probes:
        if probe.answers != ((answer,),):
            raise MalformedRecord(f"{probe.prompt!r} is not answered by {answer!r}; the original layout cannot say so")
    return [probe.prompt for probe in probes]
