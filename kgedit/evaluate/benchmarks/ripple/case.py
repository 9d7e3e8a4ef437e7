"""RippleEdits: six criteria, each test only where the unedited model meets its conditions."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, Unusable, says
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.benchmarks.ripple.measures import RippleProbe
from kgedit.evaluate.benchmarks.ripple.record import RippleQuery, RippleRecord
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask

_STRICT = "strict"
_OF_SUBJECT = "Relation_Specificity"  # the file's name for tests of the subject's other relations


def case(record: Record, options: Options) -> BenchmarkCase:
    """The criteria as published (a name anywhere in a long text), and as `_strict` (in the first sentence).

    Raises:
        Unusable: The record is not one of RippleEdits.
    """
    if not isinstance(record, RippleRecord):
        raise Unusable("the record is not one of RippleEdits")
    rewrite = record.rewrite
    edited_fact = RippleQuery(
        prompt=rewrite.text, answers=((rewrite.target_new,),), query_type="regular", relation=record.relation
    )
    probe = RippleProbe(edited_fact, record.tests)
    old = rewrite.target_true

    def judge(replies: Replies, before: Replies) -> Values:
        strict = probe.judge(before.answers, replies.answers, "strict")
        return {
            **probe.judge(before.answers, replies.answers, "published"),
            **{f"{name}_{_STRICT}": value for name, value in strict.items()},
        }

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        questions=Questions(asks=_once([*probe.asks("published"), *probe.asks("strict")])),
        asked_before=Questions(
            asks=_once([*probe.asks_before("published"), *probe.asks_before("strict"), Ask(rewrite.text)])
        ),
        judge=judge,
        recalled=says(rewrite.text, (old,), options) if old else lambda replies: None,
        subject_facts=tuple(
            query.prompt for test in record.tests if test.criterion == _OF_SUBJECT for query in test.queries
        ),
    )


def _once(asks: list[Ask]) -> tuple[Ask, ...]:
    return tuple(dict.fromkeys(asks))
