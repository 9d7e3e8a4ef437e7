"""The training of one matrix on a case's edits, pass by pass over all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kgedit.delta.low_rank import as_low_rank
from kgedit.errors import EditError
from kgedit.lm.anatomy import context_length
from kgedit.lm.generation.endings import end_tokens
from kgedit.lm.token_losses import drifts
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.methods.base import Case, Request, Workbench
from kgedit.methods.curriculum import Curriculum, Lesson, Question
from kgedit.methods.engine.divergence import check_loss
from kgedit.methods.engine.states_below import Ids
from kgedit.methods.engine.trained_matrix import TrainedMatrix
from kgedit.methods.engine.training_batch import TrainingBatch
from kgedit.methods.finetune_adapter.lessons import Encoded, drawn, either_spelling, encoded, some
from kgedit.methods.locft.config import LocftConfig
from kgedit.text.template import fill

_LEAST_EARLIER = 200  # edits made earlier that are rehearsed in a pass, if there are so many


@dataclass(frozen=True)
class _Taught:
    """One edit as it is trained.

    Attributes:
        rows: The edit prompt with its new object, in every form.
        lesson: What is trained beside it; None where that is nothing.
    """

    rows: Sequence[Encoded]
    lesson: Lesson | None


class Training:
    """The training of one case's edits."""

    def __init__(
        self, config: LocftConfig, bench: Workbench, case: Case, curriculum: Curriculum | None, matrix: TrainedMatrix
    ) -> None:
        """Turn the edits into tokens.

        Args:
            config: The hyper-parameters.
            bench: Model, tokenizer, prefixes, seed.
            case: The edits.
            curriculum: Further wordings, consequences and facts to rehearse; None to train on the prompts alone.
            matrix: What is trained.

        Raises:
            EditError: An edit does not suit the tokenizer or the context.
        """
        self._config, self._bench, self._matrix = config, bench, matrix
        self._ends = (_end_of_text(bench),) if config.end_of_text else ()
        rows = [self._edit_rows(bench, request) for request, _ in case]
        lessons: Sequence[Lesson | None] = [None] * len(rows)
        self._facts: Sequence[Sequence[Question]] = ()
        self._earlier: Sequence[Lesson] = ()
        self._texts: Sequence[Question] = ()
        self._begin: Tensor | None = None
        if curriculum is not None:
            lessons, self._facts, self._earlier = curriculum.lessons, curriculum.facts, curriculum.earlier
            self._texts = curriculum.texts
            if curriculum.begin is not None:
                (update,) = as_low_rank(curriculum.begin).updates
                self._begin = update.dense()
        self._edits = [_Taught(own, lesson) for own, lesson in zip(rows, lessons, strict=True)]

    def run(self) -> tuple[Tensor, list[float]]:
        """The change of W, (d, d_ff), and the mean loss of the edits in each pass."""
        config, matrix = self._config, self._matrix
        change = matrix.no_change()
        if self._begin is not None:
            with torch.no_grad():
                change.copy_(self._begin)
        # Depth-first, every edit is a training of its own, on top of what the earlier ones left.
        groups = [self._edits] if config.order == "breadth-first" else [[edit] for edit in self._edits]
        losses: list[float] = []
        for number, group in enumerate(groups):
            losses += self._passes(change, group, (number, len(groups)))
        return change.detach(), losses

    def _passes(self, change: Tensor, edits: Sequence[_Taught], group: tuple[int, int]) -> list[float]:
        config = self._config
        rng = random.Random(f"{self._bench.seed} {group[0]} {self._begin is not None}")
        adam = torch.optim.Adam([change], lr=config.learning_rate)
        means: list[float] = []
        for epoch in range(config.epochs):
            losses = []
            batches = list(self._batches(edits, rng))
            for number, (rows, kept) in enumerate(batches):
                if self._bench.progress:
                    steps = config.epochs * len(batches)
                    done = group[0] * steps + epoch * len(batches) + number
                    self._bench.progress("train", done, group[1] * steps)
                loss = self._edit_loss(rows, change)
                losses.append(float(loss.detach()))
                check_loss(losses[-1], f"in pass {epoch + 1}", config.learning_rate)
                if kept and config.keep_weight:
                    loss = loss + config.keep_weight * self._keep_loss(kept, change)
                # What is satisfied is skipped, so that it is not trained away from everything else.
                if float(loss.detach()) >= config.stop_loss:
                    (change.grad,) = torch.autograd.grad(loss, change)
                    adam.step()
            means.append(sum(losses) / len(losses))
            if means[-1] < config.stop_loss:
                break
        return means

    def _batches(self, edits: Sequence[_Taught], rng: random.Random) -> Iterator[tuple[list[Encoded], list[Encoded]]]:
        """The batches of one pass: rows of edits in random order, each with its share of the rehearsed rows."""
        config = self._config
        rows = [row for edit in edits for row in edit.rows]
        lessons = [edit.lesson for edit in edits if edit.lesson is not None]
        kept: list[Encoded] = []
        earlier = drawn(self._earlier, len(edits), _LEAST_EARLIER, rng)
        for lesson in (*lessons, *earlier):
            asked = [*some(lesson.wordings[1:], config.wordings, rng), *some(lesson.paths, config.wordings, rng)]
            asked += lesson.inverse if config.inverse else ()
            asked += some(lesson.invented, config.invented, rng)
            rows += self._encoded(asked, self._ends)
        rows += self._encoded([lesson.wordings[0] for lesson in earlier], self._ends)
        wanted = round(config.rehearsed * len(edits))
        if wanted:
            around = [question for lesson in lessons for question in lesson.around]
            near = some(around, (wanted + 1) // 2 if self._facts else wanted, rng)
            far = some(self._facts, wanted - len(near), rng)
            stays = [*near, *(rng.choice(wordings) for wordings in far)]
            kept = self._encoded(either_spelling(self._bench.model, stays, rng), ())
        kept += self._encoded(self._texts, (), "")
        rng.shuffle(rows)
        rng.shuffle(kept)
        count = -(-len(rows) // config.rows)
        for number in range(count):
            yield rows[number::count], kept[number::count]

    def _edit_loss(self, rows: Sequence[Encoded], change: Tensor) -> Tensor:
        """() mean negative log-likelihood per target token, over the texts or over all tokens of the batch."""
        batch = TrainingBatch(rows)
        return (
            batch.losses(self._matrix, change).mean()
            if self._config.mean == "token"
            else batch.loss(self._matrix, change)
        )

    def _keep_loss(self, rows: Sequence[Encoded], change: Tensor) -> Tensor:
        """() mean KL(unedited || trained) of the next token, at every place of the rehearsed answers."""
        batch = TrainingBatch(rows)
        unedited = self._matrix.logits(batch.texts, batch.text_of, batch.column)

        def apart(logits: Tensor, places: slice) -> Tensor:
            return drifts(logits, unedited(places))

        return self._matrix.losses(batch.texts, batch.text_of, batch.column, change, apart).mean()

    def _edit_rows(self, bench: Workbench, request: Request) -> list[Encoded]:
        """The edit prompt with its new object: alone, behind context prefixes, in the chat form if there is one."""
        config, tokenizer = self._config, bench.tokenizer
        answer = (*encode_target(tokenizer, bench.learned(request, config.ending), request.question), *self._ends)
        room = context_length(bench.model) - len(answer) + 1
        prefixes = ("", *[prefix for prefix in bench.prefixes if prefix][: config.prefixes])
        rows = [
            (encode_prompt(tokenizer, request.prompt, request.subject, prefix=prefix, max_length=room).ids, answer)
            for prefix in prefixes
        ]
        chats = [(fill(template, request.subject), request.target) for template in bench.chat_templates(request)]
        return rows + self._encoded(chats, self._ends)

    def _encoded(self, questions: Sequence[Question], ends: Ids, ending: str | None = None) -> list[Encoded]:
        """Questions in tokens, the given ones behind each answer; those that do not fit are left out."""
        ending = self._config.ending if ending is None else ending
        # The last token of an answer is only predicted, so a row may be one longer than the context.
        longest = context_length(self._bench.model) + 1 - len(ends)
        rows = encoded(self._bench.tokenizer, questions, ending, longest=longest)
        return [(prompt, (*answer, *ends)) for prompt, answer in rows]


def _end_of_text(bench: Workbench) -> int:
    """The token that ends an answer: the tokenizer's end of text, else the model's first."""
    if bench.tokenizer.eos_token_id is not None:
        return int(bench.tokenizer.eos_token_id)
    ends = end_tokens(bench.model, bench.tokenizer)
    if not ends:
        raise EditError("the model has no end-of-text token to train; set locft:end_of_text=false")
    return min(ends)
