"""The probability that a model answers with a name, however the tokenizer spells its end."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_pair, encode_target


def name_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[tuple[str, str]]
) -> list[float]:
    """Probability of each name behind its prompt.

    A name such as "Washington, D.C." may merge with the full stop behind it into one token (".."), which then spells
    the name as well: the probabilities of both spellings are added.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        questions: Pairs of prompt and name.

    Raises:
        PromptError, TargetError: See `encode_pair`.
    """
    rows, question_of = [], []
    for number, (prompt, name) in enumerate(questions):
        ids, plain = encode_pair(tokenizer, prompt, name)
        stopped = encode_target(tokenizer, f"{name}.", prompt)
        # A spelling that only continues the plain one is counted in it already.
        spellings = [plain] if stopped[: len(plain)] == plain else [plain, stopped]
        rows += [(ids, spelling) for spelling in spellings]
        question_of += [number] * len(spellings)
    sums = [0.0] * len(questions)
    for number, score in zip(question_of, score_rows(model, rows), strict=True):
        sums[number] += score.joint_probability
    return sums
