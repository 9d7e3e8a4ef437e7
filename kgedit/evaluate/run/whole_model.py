"""What edits did to the model as a whole: size of the edited matrices, and what it does where no edit is spoken of.

Perplexity of held-out text, and general ability: see `ability`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib.resources import files

from kgedit.editor import Editor
from kgedit.evaluate.benchmarks.case import BenchmarkCase
from kgedit.evaluate.results import LengthRow
from kgedit.evaluate.run.ability import ChoiceQuestion, ability
from kgedit.lm.anatomy import context_length
from kgedit.lm.scoring.perplexity import perplexity
from kgedit.lm.tokens import encode_text
from kgedit.mini import MINI
from kgedit.mini.corpus import bundled_sentences

_SENTENCES = 100  # of the bundled model's own training text
_MOST = 1e300  # a multiple of a perplexity or norm that still is a number in JSON


def held_out_texts(model: str, cases: Sequence[BenchmarkCase], *, seed: int) -> list[str]:
    """Texts in which no edit's subject or object occurs.

    Args:
        model: Name of the model. For the bundled one they are sentences that it was trained on, since it knows no
            other words; for others paragraphs of plain English prose that were written for this purpose.
        cases: The cases of the run.
        seed: Draws the sentences.
    """
    if model != MINI:
        text = files("kgedit.evaluate.run").joinpath("held_out.txt").read_text(encoding="utf-8")
        return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    named = names_of(cases)
    sentences = list(bundled_sentences())
    random.Random(seed).shuffle(sentences)
    apart = (sentence for sentence in sentences if not any(name in sentence for name in named))
    return [sentence for sentence, _ in zip(apart, range(_SENTENCES), strict=False)]


def names_of(cases: Sequence[BenchmarkCase]) -> set[str]:
    """Subjects and objects of all edits."""
    ends = ((one.subject, one.target_new, one.target_true) for case in cases for one in case.rewrites)
    return {name for names in ends for name in names if name}


class WholeModel:
    """Measures a model against what it was before its edits."""

    def __init__(self, editor: Editor, texts: Sequence[str], questions: Sequence[ChoiceQuestion]) -> None:
        """Read the unedited model.

        Args:
            editor: It carries no edit yet.
            texts: Held-out texts; what does not fit into the context is cut off.
            questions: Questions of general ability.
        """
        longest = context_length(editor.model)
        rows = (encode_text(editor.tokenizer, text)[:longest] for text in texts)
        self._editor, self._rows = editor, [row for row in rows if len(row) > 1]
        self._before = perplexity(editor.model, self._rows)
        self._questions = questions
        self._ability_before = ability(editor.model, editor.tokenizer, questions)

    def measure(
        self, method: str, length: int, *, edits: int, asked: int, asked_all: int, seconds: float
    ) -> LengthRow:
        """The model as it is now; what is given stands in `LengthRow`, `seconds` for all edits together."""
        multiple = perplexity(self._editor.model, self._rows) / self._before
        return LengthRow(
            method=method,
            length=length,
            edits=edits,
            asked=asked,
            asked_all=asked_all,
            seconds=seconds / max(edits, 1),
            growth={name: _bounded(growth) for name, growth in self._editor.growth().items()},
            change={name: _bounded(norm) for name, norm in self._editor.norms().items()},
            perplexity=_bounded(multiple),
            ability=ability(self._editor.model, self._editor.tokenizer, self._questions),
            ability_before=self._ability_before,
        )


def _bounded(multiple: float) -> float:
    """A multiple that JSON can hold; NaN, of a model that is destroyed, is the largest one."""
    return multiple if multiple < _MOST else _MOST
