"""BAKE's measures: CounterFact's, and what the model says about the new object."""

from __future__ import annotations

from statistics import fmean

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, Unusable, says
from kgedit.evaluate.benchmarks.counterfact.case import probe_of
from kgedit.evaluate.benchmarks.counterfact.measures import compared
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.benchmarks.reverse.record import ReverseQuestion, ReverseRecord
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.scoring.pairs import Pair, Scores


def case(record: Record, options: Options) -> BenchmarkCase:
    """Efficacy, paraphrase and neighborhood; `reverse`, `judgement` and `object_facts`.

    Raises:
        Unusable: The record is none of BAKE's, does not change its object, or asks no inverse question.
    """
    if not isinstance(record, ReverseRecord):
        raise Unusable("the record is not one of BAKE")
    rewrite, asked, probe = record.rewrite, record.reverse, probe_of(record)
    if asked is None and record.judgement is None:
        raise Unusable("the record asks nothing about the new object")
    kept = [(fact.prompt, fact.answer) for fact in record.object_facts]
    questions = {"reverse": asked, "judgement": record.judgement}
    pairs = [pair for question in questions.values() if question for pair in _pairs(question)]

    def judge(replies: Replies, before: Replies) -> Values:
        values = probe.measure(replies.scores)
        for name, question in questions.items():
            values |= _measured(name, question, replies.scores) if question else {}
        if kept:
            values["object_facts_accuracy"] = fmean(replies.scores[pair].exact for pair in kept)
        return values

    def judge_unedited(before: Replies) -> Values:
        if asked is None or asked.before is None:
            return {}
        return {"reverse_before": float(before.scores[asked.prompt, asked.before].exact)}

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        questions=Questions(pairs=(*probe.pairs(), *pairs, *kept)),
        asked_before=Questions(asks=(Ask(rewrite.text),)),
        judge=judge,
        judge_unedited=judge_unedited,
        recalled=says(rewrite.text, (probe.target_true,), options),
        paraphrases=record.paraphrases,
        neighbours=probe.neighborhood,
    )


def _pairs(question: ReverseQuestion) -> list[Pair]:
    return [(question.prompt, name) for name in (question.answer, question.before) if name is not None]


def _measured(name: str, question: ReverseQuestion, scores: Scores) -> Values:
    """Success, magnitude and accuracy as CounterFact's; accuracy alone where the old answer is not told."""
    if question.before is not None:
        return compared(name, (question.prompt,), question.answer, question.before, scores)
    return {f"{name}_accuracy": float(scores[question.prompt, question.answer].exact)}
