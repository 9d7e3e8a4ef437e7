"""Training texts and questions as rows of tokens, in batches whose loss has a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import DataError
from kgedit.lm.anatomy import context_length
from kgedit.lm.context import check_room
from kgedit.lm.padding import pad_id
from kgedit.lm.tokens import encode_pair, encode_texts
from kgedit.methods.engine.edit_gradient import Row, ScoredTexts


class Question(NamedTuple):
    """A prompt, and the answer that is to be explained."""

    prompt: str
    answer: str


class TrainingTexts:
    """Texts that a model may have been trained on.

    Attributes:
        rows: Number of the text -> its first token, and those that are predicted behind it. A text of one token has
            no loss and no row.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], batch_tokens: int
    ) -> None:
        """Turn texts into tokens; what does not fit into the context is cut off.

        Raises:
            DataError: No text has two tokens.
        """
        room = context_length(model)
        cut = [tokens.ids[:room] for tokens in encode_texts(tokenizer, texts)]
        self.rows: dict[int, Row] = {number: (ids[:1], ids[1:]) for number, ids in enumerate(cut) if len(ids) > 1}
        if not self.rows:
            raise DataError("none of the texts has two tokens, so there is nothing to attribute to; give other texts")
        self._fill, self._device, self._most = pad_id(tokenizer), model.device, batch_tokens

    def batches(self, numbers: Sequence[int] | None = None) -> Iterator[tuple[list[int], ScoredTexts]]:
        """The texts of some numbers (all by default), those of similar length together, each with its number."""
        chosen = self.rows if numbers is None else {number: self.rows[number] for number in numbers}
        batch: list[int] = []
        for number in sorted(chosen, key=lambda number: -len(chosen[number][1])):
            if batch and (len(batch) + 1) * len(chosen[batch[0]][1]) > self._most:
                yield batch, self._scored(batch)
                batch = []
            batch.append(number)
        if batch:
            yield batch, self._scored(batch)

    def _scored(self, numbers: Sequence[int]) -> ScoredTexts:
        return ScoredTexts([self.rows[number] for number in numbers], self._fill, self._device)


def question_row(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, question: Question) -> Row:
    """The tokens of a prompt and of the answer behind it.

    Raises:
        PromptError, TargetError: It cannot be put: it is too long, or has no token.
    """
    prompt, answer = encode_pair(tokenizer, question.prompt, question.answer)
    check_room(model, prompt, len(answer) - 1)
    return prompt, answer
