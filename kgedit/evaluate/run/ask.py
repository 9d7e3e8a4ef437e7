"""Asks a model everything that the cases of a benchmark need, in shared batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.evaluate.benchmarks.case import Questions, Replies
from kgedit.evaluate.measures.portability import published_fuzzy
from kgedit.lm.context import LEAST_ROOM, count_cut
from kgedit.lm.generation.greedy import Answers, Ask, answer_all
from kgedit.lm.generation.sampling import sample_texts
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.lm.scoring.teacher_forced import TargetScore


def ask_cases(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Questions], *, seed: int
) -> list[Replies]:
    """Ask a model about several cases; equal prompts are asked once.

    Args:
        model: The model as it is.
        tokenizer: Its tokenizer.
        questions: One per case.
        seed: Of sampled texts.

    Raises:
        EditError: A prompt or target cannot be written with this tokenizer; see `score_pairs`.
    """
    scores = score_pairs(model, tokenizer, [pair for case in questions for pair in case.pairs])
    # The first prompts of follow-ups share the batches of all others; the second ones hold their answers.
    follow_ups = [follow_up for case in questions for follow_up in case.follow_ups]
    asks = [*(ask for case in questions for ask in case.asks), *(follow_up.first for follow_up in follow_ups)]
    answers = answer_all(model, tokenizer, asks)
    answers |= answer_all(model, tokenizer, [follow_up.then(answers) for follow_up in follow_ups])
    return [
        Replies(
            {pair: scores[pair] for pair in case.pairs},
            {ask: answers[ask] for ask in _asked(case, answers)},
            # Case by case: a repeated prompt is drawn anew, and must not depend on what else is in the batch.
            tuple(sample_texts(model, tokenizer, case.texts, seed=seed)) if case.texts else (),
            published_fuzzy(model, tokenizer, [case.fuzzy])[0] if case.fuzzy else {},
        )
        for case in questions
    ]


def _asked(case: Questions, answers: Answers) -> Iterator[Ask]:
    """Every prompt of a case that was continued."""
    yield from case.asks
    for follow_up in case.follow_ups:
        yield from (follow_up.first, follow_up.then(answers))


def cut_prompts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, answered: Sequence[Replies]) -> int:
    """How many different prompts left too little room for their answer, so that their beginning was lost."""
    kept: dict[str, int] = {}
    for replies in answered:
        for (prompt, _), score in replies.scores.items():
            kept[prompt] = max(kept.get(prompt, 0), len(score.ids) - 1)  # the last token is predicted, not read
        for ask in replies.answers:
            kept[ask.prompt] = max(kept.get(ask.prompt, 0), 0 if ask.total else min(ask.limit, LEAST_ROOM))
    return count_cut(model, tokenizer, kept)


def to_json(replies: Replies) -> dict[str, Any]:
    """Plain JSON values that `from_json` reads back exactly."""
    return {
        "scores": [[*pair, *score] for pair, score in replies.scores.items()],
        "answers": [[*ask, text] for ask, text in replies.answers.items()],
        "texts": list(replies.texts),
        "fuzzy": dict(replies.fuzzy),
    }


def from_json(data: dict[str, Any]) -> Replies:
    """The inverse of `to_json`."""
    return Replies(
        {
            (prompt, target): TargetScore(tuple(ids), tuple(logprobs), tuple(top))
            for prompt, target, ids, logprobs, top in data["scores"]
        },
        {Ask(*ask): text for *ask, text in data["answers"]},
        tuple(data["texts"]),
        dict(data["fuzzy"]),
    )
