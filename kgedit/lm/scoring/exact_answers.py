"""Checks whether a model answers exactly: the whole name, and behind it nothing but the end of the sentence."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import TargetError
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_pair, encode_target

# Some tokenizers have tokens such as "o."; one of these words will stand apart from its full stop.
_WORDS = ("a", "b", "q", "x", "7", "the")


def exact_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[tuple[str, str]]
) -> list[bool]:
    """Whether greedy decoding of each prompt gives the answer followed by a full stop.

    Found under teacher forcing: as long as every token so far is the most probable one, both see the same text.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        questions: Pairs of prompt and answer.

    Returns:
        One verdict per question. "New York" is no match where the model says "New York City", and a name
        that itself ends in a full stop may or may not be followed by another.
    """
    stop = _full_stop(tokenizer)
    rows, question_of = [], []
    for number, (prompt, answer) in enumerate(questions):
        ids, plain = encode_pair(tokenizer, prompt, answer)
        # A name such as "D.C." may merge with the stop into one token or stay apart, and may serve as its own stop.
        spellings = {(*plain, *stop), encode_target(tokenizer, f"{answer}.", prompt)}
        if answer.endswith("."):
            spellings.add(plain)
        rows += [(ids, spelling) for spelling in sorted(spellings)]
        question_of += [number] * len(spellings)
    # One spelling that greedy decoding gives is enough.
    verdicts = [False] * len(questions)
    for number, score in zip(question_of, score_rows(model, rows), strict=True):
        verdicts[number] |= score.exact
    return verdicts


def _full_stop(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens of a full stop that stays apart from the word before it."""
    for word in _WORDS:
        alone, stopped = encode_target(tokenizer, word), encode_target(tokenizer, f"{word}.")
        if stopped[: len(alone)] == alone and len(stopped) > len(alone):
            return stopped[len(alone) :]
    raise TargetError("the tokenizer merges every word with the full stop behind it, so answers have no clear end")
