"""Facts that a model should know: asked for, never edited."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, Unusable, says
from kgedit.evaluate.benchmarks.known_facts.record import KnownFactRecord
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask
from kgedit.text.template import fill


def case(record: Record, options: Options) -> BenchmarkCase:
    """`recall` of the object by greedy answer, `recall_accuracy` token by token, and its `probability`.

    Raises:
        Unusable: The record is no known fact.
    """
    if not isinstance(record, KnownFactRecord):
        raise Unusable("the record is not a known fact")
    prompt = fill(record.prompt, record.subject)
    pair = (prompt, record.answer)
    recalled = says(prompt, (record.answer,), options)

    def judge(replies: Replies, before: Replies) -> Values:
        score = replies.scores[pair]
        return {
            "recall": float(recalled(replies)),
            "recall_accuracy": score.token_accuracy,
            "probability": score.probability,
        }

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=(),
        questions=Questions(pairs=(pair,), asks=(Ask(prompt),)),
        judge=judge,
        recalled=recalled,
    )
