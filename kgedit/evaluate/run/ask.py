"""What a model says about cases: everything that their suite wants to know, in shared batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.evaluate.benchmarks.case import Seen, Wanted
from kgedit.evaluate.measures.portability import published_fuzzy
from kgedit.lm.context import count_cut
from kgedit.lm.generation.greedy import Ask, answer_all
from kgedit.lm.generation.sampling import sample_texts
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.lm.scoring.teacher_forced import TargetScore


def see(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wanted: Sequence[Wanted], *, seed: int
) -> list[Seen]:
    """Ask a model about several cases; equal prompts are asked once.

    Args:
        model: The model as it is.
        tokenizer: Its tokenizer.
        wanted: One per case.
        seed: Of sampled texts.

    Raises:
        EditError: A prompt or target cannot be written with this tokenizer; see `score_pairs`.
    """
    scores = score_pairs(model, tokenizer, [pair for one in wanted for pair in one.pairs])
    answers = answer_all(model, tokenizer, [ask for one in wanted for ask in one.asks])
    return [
        Seen(
            {pair: scores[pair] for pair in one.pairs},
            {ask: answers[ask] for ask in one.asks},
            # Case by case: a repeated prompt is drawn anew, and must not depend on what else is in the batch.
            tuple(sample_texts(model, tokenizer, one.texts, seed=seed)) if one.texts else (),
            published_fuzzy(model, tokenizer, [one.fuzzy])[0] if one.fuzzy else {},
        )
        for one in wanted
    ]


def cut_prompts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wanted: Sequence[Wanted]) -> int:
    """How many different prompts are longer than the model reads, so that their beginning is lost."""
    scored = {prompt for one in wanted for prompt, _ in one.pairs}
    asked = {ask.prompt for one in wanted for ask in one.asks}
    return count_cut(model, tokenizer, sorted(scored | asked))


def to_json(seen: Seen) -> dict[str, Any]:
    """Plain JSON values that `from_json` reads back exactly."""
    return {
        "scores": [[*pair, *score] for pair, score in seen.scores.items()],
        "answers": [[*ask, text] for ask, text in seen.answers.items()],
        "texts": list(seen.texts),
        "fuzzy": dict(seen.fuzzy),
    }


def from_json(data: dict[str, Any]) -> Seen:
    """The inverse of `to_json`."""
    return Seen(
        {
            (prompt, target): TargetScore(tuple(ids), tuple(logprobs), tuple(top))
            for prompt, target, ids, logprobs, top in data["scores"]
        },
        {Ask(*ask): text for *ask, text in data["answers"]},
        tuple(data["texts"]),
        dict(data["fuzzy"]),
    )
