"""Prompts with their answers as a batch to train on: the texts, and where the answers' tokens are scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from kgedit.lm.token_losses import token_losses
from kgedit.methods.engine.trained_matrix import TrainedMatrix

# Every token of an answer at the prompt's last position, or each behind those before it.
ScoredAt = Literal["prompt_last", "target"]


class AnswerPlace(NamedTuple):
    """Where one token of an answer is predicted.

    Attributes:
        text: Number of the text.
        column: The token of the text, counted from 0, behind which it is predicted.
        token: Its id.
        share: Its share of the answer: one by the number of the answer's tokens.
    """

    text: int
    column: int
    token: int
    share: float


def answer_places(rows: Iterable[tuple[Sequence[int], Sequence[int]]]) -> Iterator[AnswerPlace]:
    """The places of all answers, text by text.

    Args:
        rows: Token ids of each prompt and of its answer. The text is both, but for the answer's last token, which is
            only predicted.
    """
    for text, (prompt, answer) in enumerate(rows):
        for index, token in enumerate(answer):
            yield AnswerPlace(text, len(prompt) - 1 + index, token, 1 / len(answer))


class TrainingBatch:
    """Texts, and which token is scored where.

    Attributes:
        texts: What the model reads of each row.
        text_of: (scored,) which text; `column` which of its tokens predicts; `token` what is wanted there.
        weight: (scored,) float64, in the mean over the tokens of an answer, then over the rows.
    """

    def __init__(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]], scored_at: ScoredAt = "target") -> None:
        """Lay the rows out.

        Args:
            rows: Token ids of each prompt and of its answer.
            scored_at: Where the answers' tokens are scored.
        """
        whole = scored_at == "target"
        self.texts = [(*prompt, *answer[:-1]) if whole else tuple(prompt) for prompt, answer in rows]
        scored = [
            (text, column if whole else len(rows[text][0]) - 1, token, share / len(rows))
            for text, column, token, share in answer_places(rows)
        ]
        text_of, column, token, weight = zip(*scored, strict=True)
        self.text_of, self.column, self.token = torch.tensor(text_of), torch.tensor(column), torch.tensor(token)
        self.weight = torch.tensor(weight, dtype=torch.float64)  # (scored,)

    def losses(self, matrix: TrainedMatrix, change: Tensor) -> Tensor:
        """(scored,) negative log-likelihood of each wanted token, with a change of W (d, d_ff)."""

        def missed(logits: Tensor, places: slice) -> Tensor:
            return token_losses(logits, self.token[places].to(logits.device))

        return matrix.losses(self.texts, self.text_of, self.column, change, missed)

    def loss(self, matrix: TrainedMatrix, change: Tensor) -> Tensor:
        """() the mean loss with a change of W, (d, d_ff)."""
        per_token = self.losses(matrix, change)  # (scored,)
        return per_token @ self.weight.to(per_token)
