"""The most probable whole answers to a prompt, with their probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.context import check_room
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.generation.endings import answer_text, cut, end_tokens
from kgedit.lm.generation.greedy import continue_greedily
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.lm.tokens import encode_texts
from kgedit.text.boundary import stem


def top_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    k: int = 5,
    *,
    max_new_tokens: int = 16,
    stop: Sequence[str] = (".", "\n"),
    answer_of: Callable[[str], str] = str,
) -> list[tuple[str, float]]:
    """The most probable whole answers: the best first tokens, each completed greedily up to the stop.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        prompt: A text; spaces at the end are dropped.
        k: How many answers; fewer come back when several first tokens lead to nothing or to the same text.
        max_new_tokens: The most tokens per answer.
        stop: A continuation ends before the first of these strings, or at an end-of-text token.
        answer_of: The part of a continuation that is the answer, from its beginning; all of it by default.

    Returns:
        Answers with the product of their tokens' probabilities, most probable first.

    Raises:
        PromptError: The prompt is empty, or fills the context.
    """
    ids = encode_texts(tokenizer, [stem(prompt)])[0].ids
    check_room(model, ids, 1)
    with frozen(model):
        first = Decoder(model, [ids], pad_id(tokenizer)).logits()[0].log_softmax(-1)  # (vocabulary,)
    # Twice as many first tokens as answers: some are a stop, or begin the same text.
    best = first.topk(min(2 * k, len(first)))
    until, ends = tuple(stop), end_tokens(model, tokenizer)
    beginnings = best.indices.tolist()
    limit = min(max_new_tokens, context_length(model) - len(ids)) - 1
    continuations = continue_greedily(
        model,
        tokenizer,
        [(*ids, token) for token in beginnings],
        [limit] * len(beginnings),
        [until] * len(beginnings),
        begun=1,
        logprobs=True,
    )
    probabilities: dict[str, float] = {}
    for token, logp, (later, later_logps) in zip(beginnings, best.values.tolist(), continuations, strict=True):
        tokens = [token, *later]
        whole = cut(answer_text(tokenizer, tokens, ends), until)
        answer = answer_of(whole)
        if answer:
            # Only the tokens that spell the answer count, not those of the stop or of what is said behind it.
            least = whole.index(answer) + len(answer)
            spelled = next(
                count
                for count in range(1, len(tokens) + 1)
                if len(cut(answer_text(tokenizer, tokens[:count], ends), until)) >= least
            )
            probability = math.exp(sum([logp, *later_logps][:spelled]))
            probabilities[answer] = probabilities.get(answer, 0.0) + probability
    return sorted(probabilities.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
