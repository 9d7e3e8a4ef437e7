"""RippleEdits (Cohen et al., 2024): one edit and six lists of tests, each with conditions on the unedited model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from kgedit.evaluate.benchmarks.raw import Raw, names
from kgedit.evaluate.benchmarks.records import Answers, Drop, MalformedRecord, Prompt, Record, Rewrite
from kgedit.evaluate.benchmarks.ripple.relations import WORDINGS
from kgedit.evaluate.results import Frozen
from kgedit.text.template import fill

# Name in the published files -> name in reports.
CRITERIA: Mapping[str, str] = MappingProxyType(
    {
        "Logical_Generalization": "logical_generalization",
        "Compositionality_I": "compositionality_1",
        "Compositionality_II": "compositionality_2",
        "Subject_Aliasing": "subject_aliasing",
        "Forgetfulness": "preservation",
        "Relation_Specificity": "relation_specificity",
    }
)


class RippleQuery(Frozen):
    """A prompt and the names that must be in the model's text.

    Attributes:
        prompt: What the model is given.
        answers: Groups of names; one name of every group must occur. Some queries of the published files have none,
            so that any text passes; it is for the score to say how it counts those.
        query_type: "regular" or "two_hop".
        relation: The file's word for the relation.
        subject_ids: Wikidata items of the subject; usually one.
        target_ids: Wikidata items or literal values that the answers name.
    """

    prompt: Prompt
    answers: Answers
    query_type: str
    relation: str
    subject_ids: tuple[str, ...] = ()
    target_ids: tuple[str, ...] = ()


class RippleTest(Frozen):
    """Queries that count together.

    Attributes:
        criterion: A key of CRITERIA.
        queries: Asked after the edit.
        condition: "OR": one right answer is enough; "AND": all must be right.
        conditions: Asked before the edit; the test is carried out only if all are right. May be empty.
    """

    criterion: str
    queries: tuple[RippleQuery, ...] = Field(min_length=1)
    condition: Literal["OR", "AND"]
    conditions: tuple[RippleQuery, ...] = ()


class RippleRecord(Record):
    """One edit with its tests.

    Attributes:
        example_type: "recent", "random" or "popular".
        relation: The file's word for the relation of the edit.
        tests: Those of all criteria; a record need not have tests of each.
    """

    example_type: str
    relation: str
    tests: tuple[RippleTest, ...]

    def of(self, criterion: str) -> tuple[RippleTest, ...]:
        """The tests of one criterion."""
        return tuple(test for test in self.tests if test.criterion == criterion)


class _RawAnswer(Raw):
    value: str
    aliases: list[str] = []


class _RawQuery(Raw):
    prompt: str
    answers: list[_RawAnswer]
    query_type: str = "regular"
    relation: str
    subject_id: str | list[str] = []
    target_ids: list[str | int | float] | str = []
    second_hop_target_ids: list[str | int | float] | str | None = None


class _RawTest(Raw):
    test_queries: list[_RawQuery]
    test_condition: Literal["OR", "AND"]
    condition_queries: list[_RawQuery] = []


class _RawFact(Raw):
    prompt: str
    subject_id: str | list[str]
    relation: str
    target_id: str


class _RawEdit(_RawFact):
    original_fact: _RawFact | None = None


class _RawRipple(Raw):
    example_type: str
    edit: _RawEdit
    Logical_Generalization: list[_RawTest] = []
    Compositionality_I: list[_RawTest] = []
    Compositionality_II: list[_RawTest] = []
    Subject_Aliasing: list[_RawTest] = []
    Forgetfulness: list[_RawTest] = []
    Relation_Specificity: list[_RawTest] = []


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> RippleRecord:
    """A record of recent.json, random.json or popular.json; tests that cannot be asked are left out."""
    parsed = _RawRipple.model_validate(raw)
    return RippleRecord(
        case_id=index,
        rewrites=(_rewrite(parsed.edit, _target_names(parsed)),),
        example_type=parsed.example_type,
        relation=parsed.edit.relation,
        tests=tuple(test for name in CRITERIA for test in _tests(getattr(parsed, name), name, drop)),
    )


def _rewrite(edit: _RawEdit, target_names: set[str]) -> Rewrite:
    wording = WORDINGS.get(edit.relation)
    if wording is None:
        raise MalformedRecord(f"edit.relation: {edit.relation!r} is not a relation whose wording is known")
    splits = _splits(edit)
    if (old := edit.original_fact) is not None:
        before = f"{wording.before}{{}}{wording.after} "
        splits = [split for split in splits if old.prompt.startswith(fill(before, split[0]))] or splits
    splits = [split for split in splits if split[1] in target_names] or splits
    if not splits:
        raise MalformedRecord(f"edit.prompt: {edit.prompt!r} is not worded as {edit.relation} is in this benchmark")
    subject, target = max(splits, key=lambda split: len(split[0]))
    if not subject or not target:
        missing = "object" if subject else "subject"
        raise MalformedRecord(
            f"edit.prompt: {edit.prompt!r} does not name its {missing} (no label when the set was made)"
        )
    target_true = None
    if old is not None:
        stem = f"{wording.before}{subject}{wording.after} "
        target_true = _sentence(old.prompt).removeprefix(stem).strip() if old.prompt.startswith(stem) else None
    return Rewrite(
        subject=subject,
        prompt=f"{wording.before}{{}}{wording.after}",
        target_new=target,
        target_true=target_true or None,
        subject_id=_item(_ids(edit.subject_id)),
        relation_id=wording.property,
        target_new_id=_item(_ids(edit.target_id)),
        target_true_id=_item(_ids(old.target_id)) if old is not None else None,
    )


def _splits(edit: _RawEdit) -> list[tuple[str, str]]:
    """All ways to read the sentence as subject and object: several if a name holds the words around them."""
    wording = WORDINGS[edit.relation]
    if not edit.prompt.startswith(wording.before):
        return []
    rest = _sentence(edit.prompt)[len(wording.before) :]
    middle = f"{wording.after} "
    starts = [start for start in range(len(rest)) if rest.startswith(middle, start)]
    return [(rest[:start].strip(), rest[start + len(middle) :].strip()) for start in starts]


def _sentence(prompt: str) -> str:
    return prompt.removesuffix(".")


def _target_names(parsed: _RawRipple) -> set[str]:
    """Names of the new object, from the tests that ask for it."""
    tests = [test for name in CRITERIA for test in getattr(parsed, name)]
    return {
        answer.value
        for test in tests
        for query in test.test_queries
        if query.query_type == "regular" and _ids(query.target_ids) == (parsed.edit.target_id,)
        for answer in query.answers
    }


def _tests(raw_tests: list[_RawTest], part: str, drop: Drop) -> Iterator[RippleTest]:
    for position, test in enumerate(raw_tests):
        where = f"{part}[{position}]"
        try:
            queries = tuple(_query(query, f"{where}.test_queries", drop) for query in test.test_queries)
            conditions = tuple(_query(query, f"{where}.condition_queries", drop) for query in test.condition_queries)
        except MalformedRecord as error:
            drop(where, str(error))
            continue
        if queries:
            yield RippleTest(criterion=part, queries=queries, condition=test.test_condition, conditions=conditions)
        else:
            drop(where, "the test has no query")


def _query(raw_query: _RawQuery, part: str, drop: Drop) -> RippleQuery:
    prompt = raw_query.prompt
    if not prompt.strip() or "<subject>" in prompt or "  " in prompt or prompt.startswith(" "):
        raise MalformedRecord(f"{prompt!r} does not name its subject (no label when the set was made)")
    answers = tuple(names((answer.value, *answer.aliases), part, drop) for answer in raw_query.answers)
    if not all(answers):
        raise MalformedRecord(f"{prompt!r} has an answer without a name")
    targets = raw_query.target_ids if raw_query.second_hop_target_ids is None else raw_query.second_hop_target_ids
    return RippleQuery(
        prompt=prompt,
        answers=answers,
        query_type=raw_query.query_type,
        relation=raw_query.relation,
        subject_ids=_ids(raw_query.subject_id),
        target_ids=_ids(targets),
    )


def _ids(ids: str | list[str] | list[str | int | float]) -> tuple[str, ...]:
    return (ids,) if isinstance(ids, str) else tuple(str(item) for item in ids)


def _item(ids: tuple[str, ...]) -> str | None:
    """The Wikidata item, where the fact's end is one and not a number or a date."""
    first = ids[0] if ids else ""
    return first if first[:1] == "Q" and first[1:].isdigit() else None
