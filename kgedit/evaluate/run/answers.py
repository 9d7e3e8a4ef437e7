"""Everything that a case was asked under a method, as a run keeps it for people who want to see single cases."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Replies
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.results import Answered, CaseAnswers, Scored


def answers_of(case: BenchmarkCase, method: str, replies: Replies, seconds: float) -> CaseAnswers:
    """Prompts and answers of a case, in the order in which they were asked.

    Args:
        case: The case.
        method: What edited the model.
        replies: What it said.
        seconds: See `CaseAnswers`.
    """
    return CaseAnswers(
        case=case.id,
        method=method,
        edits=tuple(map(in_words, case.rewrites)),
        seconds=round(seconds, 3),
        answered=tuple(Answered(prompt=ask.prompt, said=said) for ask, said in replies.answers.items()),
        scored=tuple(
            Scored(prompt=prompt, target=target, probability=score.joint_probability, greedy=score.exact)
            for (prompt, target), score in replies.scores.items()
        ),
    )


def in_words(rewrite: Rewrite) -> str:
    """A fact change as a line."""
    old = f" (it was {rewrite.target_true})" if rewrite.target_true else ""
    return f"{rewrite.text} {rewrite.target_new}{old}"
