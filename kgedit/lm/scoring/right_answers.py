"""Checks whether a model answers right, in the style in which it answers: a bare sentence, or text that goes on.

A model whose configuration has `kgedit_answers = "sentence"` (the bundled one) was trained to give a name and a full
stop; it is right with exactly that. Any other model goes on after the name ("France, and ..."), so it is right when
its greedy answer begins with the whole name.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import TargetError
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.lm.scoring.teacher_forced import Row, score_rows
from kgedit.lm.tokens import encode_target, encode_text
from kgedit.text.boundary import boundary, stem

# A prompt and the right answer to it, or all names of that answer, the label first.
Asked = tuple[str, str | tuple[str, ...]]

STYLE = "kgedit_answers"
SENTENCE = "sentence"

_HYPHENS = ("-", "\N{HYPHEN}", "\N{NON-BREAKING HYPHEN}")
_MARKS = (".", ",")


def answers_in_sentences(model: PreTrainedModel) -> bool:
    """Whether the model's configuration says that it answers with a name and a full stop."""
    return getattr(model.config, STYLE, None) == SENTENCE


def right_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Asked]
) -> list[bool]:
    """Whether greedy decoding of each prompt gives the answer, in the model's own style.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        questions: Prompts, each with the right answer or its names.

    Raises:
        PromptError, TargetError: A question cannot be put: it is too long, or a name has no token.
    """
    named = [(prompt, (answer,) if isinstance(answer, str) else answer) for prompt, answer in questions]
    given = names_given(model, tokenizer, named)
    return [name is not None for name in given]


def names_given(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[tuple[str, Sequence[str]]]
) -> list[str | None]:
    """Which of several names of the right answer the model gives; the first of them that it gives.

    Found under teacher forcing: as long as every token so far is the most probable one, both see the same text.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        questions: Pairs of prompt and names, the label first. Of a model that answers in sentences only the label
            is asked. A further name that the tokenizer cannot write is passed over.

    Raises:
        PromptError, TargetError: A question cannot be put: it is too long, or a label has no token.
    """
    if answers_in_sentences(model):
        pairs = [(prompt, names[0]) for prompt, names in questions]
        exact = exact_answers(model, tokenizer, pairs)
        return [label if right else None for (_, label), right in zip(pairs, exact, strict=True)]
    for prompt, names in questions:
        encode_target(tokenizer, names[0], prompt)  # a label that has no token is an error
    # Nearly every answer that is right gives the label, so the other names are looked for in the rest alone.
    given = _first_given(model, tokenizer, [(prompt, names[:1]) for prompt, names in questions])
    rest = [number for number, (_, names) in enumerate(questions) if given[number] is None and len(names) > 1]
    others = [(questions[number][0], questions[number][1][1:]) for number in rest]
    for number, name in zip(rest, _first_given(model, tokenizer, others), strict=True):
        given[number] = name
    return given


def _first_given(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[tuple[str, Sequence[str]]]
) -> list[str | None]:
    """The first of its names that each question is answered with; names that cannot be written are passed over."""
    rows: list[Row] = []
    asked: list[tuple[int, str, bool]] = []  # number of the question, name, whether the row holds the end of the name
    end = tokenizer.eos_token_id or 0
    for number, (prompt, names) in enumerate(questions):
        ids = encode_text(tokenizer, stem(prompt))
        for name in names:
            for spelling, ended in _spellings(tokenizer, prompt, name).items():
                # Where the spelling is open, what comes behind it tells whether the name ends there.
                rows.append((ids, spelling if ended else (*spelling, end)))
                asked.append((number, name, ended))
    given: list[str | None] = [None] * len(questions)
    for (number, name, ended), score in zip(asked, score_rows(model, rows), strict=True):
        if given[number] is not None:
            continue
        if score.exact if ended else score.top[:-1] == score.ids[:-1] and ends_name(_behind(tokenizer, score.top)):
            given[number] = name
    return given


def ends_name(text: str) -> bool:
    """Whether a name ends where this text begins: no letter or digit, no hyphen, no further word with a capital.

    So "Guinea" is not given by "Guinea-Bissau", nor "New York" by "New York City".
    """
    if text[:1].isalnum() or text[:1] in _HYPHENS:
        return False
    return not (text[:1] == " " and text[1:2].isupper())


def _spellings(tokenizer: PreTrainedTokenizerBase, prompt: str, name: str) -> dict[tuple[int, ...], bool]:
    """Tokens of a name as it may stand behind a prompt -> whether they hold its end as well.

    Behind a space it may have an article. Some tokenizers merge its last letter with the mark behind it ("o."); then
    the name with the mark is one more spelling.
    """
    spellings: dict[tuple[int, ...], bool] = {}
    for text in (name, f"the {name}") if boundary(prompt, name) else (name,):
        with suppress(TargetError):
            plain = tuple(encode_target(tokenizer, text, prompt))
            spellings[plain] = False
            for mark in _MARKS:
                marked = tuple(encode_target(tokenizer, text + mark, prompt))
                if marked[: len(plain)] != plain:
                    spellings[marked] = True
    return spellings


def _behind(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of the last token as it reads behind the one before it (a token alone may lose its space)."""
    before, both = (
        str(tokenizer.decode(list(part), skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for part in (ids[-2:-1], ids[-2:])
    )
    return both[len(before) :] if ids[-1] >= 0 else ""
