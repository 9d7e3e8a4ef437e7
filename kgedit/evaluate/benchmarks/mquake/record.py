"""MQuAKE (Zhong et al., 2023): chains of facts, one to four of them edited, asked as one question.

CF, CF-3k, CF-3k-v2 and T share one layout. MQuAKE-Remastered keeps it in its JSON files and has a flatter one on
the Hugging Face hub, where a column `split` also says which cases count as edited at which number of edits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from kgedit.evaluate.benchmarks.counterfact.record import RawTarget
from kgedit.evaluate.benchmarks.raw import Raw, names
from kgedit.evaluate.benchmarks.records import Drop, MalformedRecord, Prompt, Record, Rewrite
from kgedit.evaluate.results import Frozen

Triple = tuple[str, str, str]


class Hop(Frozen):
    """One fact of a chain.

    Attributes:
        question: Asks for the fact.
        answer: Its object.
        aliases: Other names of the object.
        other_times: What else may be said of it, since the fact changes in time (`answer_extended` of MQuAKE-T).
        cloze: The fact as a statement that ends right before the object.
    """

    question: Prompt
    answer: Prompt
    aliases: tuple[Prompt, ...] = ()
    other_times: tuple[Prompt, ...] = ()
    cloze: Prompt | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the object, the main one first."""
        return (self.answer, *self.aliases)


class MQuakeRecord(Record):
    """One chain before and after its edits.

    Attributes:
        questions: The multi-hop question in several wordings, three in the published sets.
        answer: Its answer before the edits.
        answer_aliases: Other names of that.
        answer_other_times: Further answers that are right before the edits, as for a single fact.
        new_answer: Its answer after the edits.
        new_answer_aliases: Other names of that.
        hops: The chain before the edits.
        new_hops: The chain after them.
        triples: The chain before, by ids; so are the next ones.
        triple_labels: The same by labels.
        new_triples: The chain after.
        new_triple_labels: The same by labels.
        edit_triples: The new facts, in the order of `rewrites`.
        splits: Number of edited cases -> what this case counts as then (Remastered on the hub).
    """

    questions: tuple[Prompt, ...] = Field(min_length=1)
    answer: Prompt
    answer_aliases: tuple[Prompt, ...] = ()
    answer_other_times: tuple[Prompt, ...] = ()
    new_answer: Prompt
    new_answer_aliases: tuple[Prompt, ...] = ()
    hops: tuple[Hop, ...] = Field(min_length=1)
    new_hops: tuple[Hop, ...] = Field(min_length=1)
    triples: tuple[Triple, ...] = ()
    triple_labels: tuple[Triple, ...] = ()
    new_triples: tuple[Triple, ...] = ()
    new_triple_labels: tuple[Triple, ...] = ()
    edit_triples: tuple[Triple, ...] = ()
    splits: Mapping[str, tuple[str, ...]] = {}

    @property
    def edited(self) -> tuple[int, ...]:
        """Positions in `new_hops` of the facts that were edited, one per rewrite that lies on the chain."""
        positions = (self.position(rewrite) for rewrite in self.rewrites)
        return tuple(position for position in positions if position is not None)

    def position(self, rewrite: Rewrite) -> int | None:
        """Position in `new_hops` of the fact that a rewrite makes; None if it does not lie on the chain."""
        for position, hop in enumerate(self.new_hops):
            worded = hop.cloze == rewrite.text or hop.question == rewrite.question
            if worded and hop.answer == rewrite.target_new:
                return position
        return None


class _RawRewrite(Raw):
    subject: str
    prompt: str
    question: str | None = None
    relation_id: str | None = None
    target_new: RawTarget
    target_true: RawTarget | None = None


class _RawHop(Raw):
    question: str
    cloze: str | None = None
    answer: str
    answer_alias: list[str] = []
    answer_extended: list[str] = []


class _RawOrigin(Raw):
    triples: list[list[str]] = []
    triples_labeled: list[list[str]] = []
    new_triples: list[list[str]] = []
    new_triples_labeled: list[list[str]] = []
    edit_triples: list[list[str]] = []


class _RawMQuake(Raw):
    case_id: int
    requested_rewrite: list[_RawRewrite] = Field(min_length=1)
    questions: list[str]
    answer: str
    answer_alias: list[str] = []
    answer_extended: list[str] = []
    new_answer: str
    new_answer_alias: list[str] = []
    single_hops: list[_RawHop]
    new_single_hops: list[_RawHop]
    orig: _RawOrigin = _RawOrigin()
    split: dict[str, list[str]] = {}


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> MQuakeRecord:
    """A record of any of the sets."""
    parsed = _RawMQuake.model_validate(_nested(raw))
    origin = parsed.orig
    return MQuakeRecord(
        case_id=parsed.case_id,
        rewrites=tuple(_rewrite(asked, origin) for asked in parsed.requested_rewrite),
        questions=tuple(parsed.questions),
        answer=parsed.answer,
        answer_aliases=names(parsed.answer_alias, "answer_alias", drop),
        answer_other_times=names(parsed.answer_extended, "answer_extended", drop),
        new_answer=parsed.new_answer,
        new_answer_aliases=names(parsed.new_answer_alias, "new_answer_alias", drop),
        hops=_hops(parsed.single_hops, "single_hops", drop),
        new_hops=_hops(parsed.new_single_hops, "new_single_hops", drop),
        triples=_triples(origin.triples, "orig.triples"),
        triple_labels=_triples(origin.triples_labeled, "orig.triples_labeled"),
        new_triples=_triples(origin.new_triples, "orig.new_triples"),
        new_triple_labels=_triples(origin.new_triples_labeled, "orig.new_triples_labeled"),
        edit_triples=_triples(origin.edit_triples, "orig.edit_triples"),
        splits=parsed.split,
    )


def to_original(record: MQuakeRecord) -> dict[str, Any]:
    """The record in the layout of the original files; keys in their order.

    Raises:
        MalformedRecord: A rewrite has no old object, which the original layout needs.
    """
    return {
        "case_id": record.case_id,
        "requested_rewrite": [_written(rewrite) for rewrite in record.rewrites],
        "questions": list(record.questions),
        "answer": record.answer,
        "answer_alias": list(record.answer_aliases),
        **_extended(record.answer_other_times),
        "new_answer": record.new_answer,
        "new_answer_alias": list(record.new_answer_aliases),
        "single_hops": [_written_hop(hop) for hop in record.hops],
        "new_single_hops": [_written_hop(hop) for hop in record.new_hops],
        "orig": {
            "triples": _lists(record.triples),
            "triples_labeled": _lists(record.triple_labels),
            "new_triples": _lists(record.new_triples),
            "new_triples_labeled": _lists(record.new_triple_labels),
            "edit_triples": _lists(record.edit_triples),
            "edit_triples_idx": list(record.edited),
        },
        **({"split": {count: list(kinds) for count, kinds in record.splits.items()}} if record.splits else {}),
    }


def _nested(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The hub's flat columns (target_new_str, orig_triples, ...) put where the original layout has them."""
    record = dict(raw)
    rewrites = record.get("requested_rewrite")
    if isinstance(rewrites, list):
        record["requested_rewrite"] = [_nested_targets(item) if isinstance(item, dict) else item for item in rewrites]
    if "orig" not in record:
        flat = {
            "triples": "orig_triples",
            "triples_labeled": "orig_triples_labeled",
            "new_triples": "new_triples",
            "new_triples_labeled": "new_triples_labeled",
            "edit_triples": "edit_triples",
        }
        record["orig"] = {name: record[column] for name, column in flat.items() if column in record}
    return record


def _nested_targets(rewrite: Mapping[str, Any]) -> dict[str, Any]:
    nested = dict(rewrite)
    for name in ("target_new", "target_true"):
        if name not in nested and f"{name}_str" in nested:
            nested[name] = {"str": nested[f"{name}_str"], "id": nested.get(f"{name}_id")}
    return nested


def _rewrite(raw_rewrite: _RawRewrite, origin: _RawOrigin) -> Rewrite:
    return Rewrite(
        subject=raw_rewrite.subject,
        prompt=raw_rewrite.prompt,
        target_new=raw_rewrite.target_new.name,
        target_true=raw_rewrite.target_true.name if raw_rewrite.target_true else None,
        question=raw_rewrite.question,
        subject_id=_subject_id(raw_rewrite, origin),
        relation_id=raw_rewrite.relation_id,
        target_new_id=raw_rewrite.target_new.id,
        target_true_id=raw_rewrite.target_true.id if raw_rewrite.target_true else None,
    )


def _subject_id(raw_rewrite: _RawRewrite, origin: _RawOrigin) -> str | None:
    """The rewrite names its subject; the chain it lies on has the item."""
    for ids, labels in zip(origin.new_triples, origin.new_triples_labeled, strict=False):
        if labels[:1] == [raw_rewrite.subject] and ids[1:2] == [raw_rewrite.relation_id]:
            return ids[0]
    for ids in origin.edit_triples:
        if ids[1:] == [raw_rewrite.relation_id, raw_rewrite.target_new.id]:
            return ids[0]
    return None


def _hops(raw_hops: list[_RawHop], part: str, drop: Drop) -> tuple[Hop, ...]:
    return tuple(
        Hop(
            question=hop.question,
            answer=hop.answer,
            aliases=names(hop.answer_alias, f"{part}[{position}].answer_alias", drop),
            other_times=names(hop.answer_extended, f"{part}[{position}].answer_extended", drop),
            cloze=hop.cloze,
        )
        for position, hop in enumerate(raw_hops)
    )


def _triples(raw_triples: list[list[str]], part: str) -> tuple[Triple, ...]:
    triples = []
    for position, triple in enumerate(raw_triples):
        if len(triple) != 3:
            raise MalformedRecord(f"{part}[{position}]: has {len(triple)} parts where a triple has three")
        triples.append((triple[0], triple[1], triple[2]))
    return tuple(triples)


def _written(rewrite: Rewrite) -> dict[str, Any]:
    if rewrite.target_true is None:
        raise MalformedRecord(f"{rewrite.text!r} has no old object, which the original layout needs")
    return {
        "prompt": rewrite.prompt,
        "relation_id": rewrite.relation_id,
        "target_new": {"str": rewrite.target_new, "id": rewrite.target_new_id},
        "target_true": {"str": rewrite.target_true, "id": rewrite.target_true_id},
        "subject": rewrite.subject,
        "question": rewrite.question,
    }


def _written_hop(hop: Hop) -> dict[str, Any]:
    return {
        "question": hop.question,
        "cloze": hop.cloze,
        "answer": hop.answer,
        "answer_alias": list(hop.aliases),
        **_extended(hop.other_times),
    }


def _extended(names_of_other_times: tuple[str, ...]) -> dict[str, list[str]]:
    """The field of MQuAKE-T; the other sets have none."""
    return {"answer_extended": list(names_of_other_times)} if names_of_other_times else {}


def _lists(triples: tuple[Triple, ...]) -> list[list[str]]:
    return [list(triple) for triple in triples]
