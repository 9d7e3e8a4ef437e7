"""What one step of training a hypernetwork computes: edits are made, asked about, and other facts are compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import harmonic_mean

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from kgedit.errors import DataError
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.padding import pad_id
from kgedit.methods.base import Workbench
from kgedit.methods.curriculum import Curriculum, Lesson, Question
from kgedit.methods.engine.edit_gradient import Changes, EditedMatrix, Row, ScoredTexts, changed, edit_gradient
from kgedit.methods.engine.states_below import StatesBelow
from kgedit.methods.finetune_adapter.lessons import encoded, some
from kgedit.methods.hyper.config import HyperSettings
from kgedit.methods.hyper.network import Condition, Hypernetwork, TrainingObjective

_STATES = 2**28  # bytes of states below the changed layers that are kept


@dataclass(frozen=True)
class Looked:
    """What held-out edits say.

    Attributes:
        taken: Share of edit prompts whose whole new object is on top.
        reworded: The same of the other wordings.
        kept: Share of other facts whose answer tokens are those of the unedited model.
    """

    taken: float
    reworded: float
    kept: float

    @property
    def score(self) -> float:
        """Harmonic mean of the three: an edit must take, reach other wordings, and leave others alone."""
        return harmonic_mean([self.taken, self.reworded, self.kept])


@dataclass(frozen=True)
class Drawn:
    """The edits of one step, in tokens.

    Attributes:
        edits: Edit prompt and new object of each.
        asked: Wordings with the new object, and which edit each is of.
        kept: Other facts, and which edit each is asked behind.
        conditions: What each edit says, see `Hypernetwork`.
    """

    edits: list[Row]
    asked: list[tuple[Row, int]]
    kept: list[tuple[Row, int]]
    conditions: list[Condition]


class Course:
    """Draws the steps of a training, and computes them."""

    def __init__(
        self,
        config: HyperSettings,
        bench: Workbench,
        curriculum: Curriculum,
        conditions: Callable[[Sequence[Question]], list[Condition]],
        smoothing: float,
    ) -> None:
        """Take what is learned from.

        Args:
            config: The hyper-parameters.
            bench: Model and tokenizer.
            curriculum: Edits, and facts that stay.
            conditions: Gives what each of several edits says, see `Hypernetwork`.
            smoothing: Of the wanted distribution, see `ScoredTexts.losses`.

        Raises:
            DataError: No edit of the curriculum suits the tokenizer and the context.
        """
        self._config, self._model, self._tokenizer = config, bench.model, bench.tokenizer
        self._fill, self._longest = pad_id(bench.tokenizer), context_length(bench.model)
        self._below = StatesBelow(
            bench.model, anatomy_of(bench.model), min(config.layers), self._fill, most_bytes=_STATES
        )
        self._rows: dict[Question, Row | None] = {}
        self.lessons = [lesson for lesson in curriculum.lessons if self._row(lesson.wordings[0])]
        if not self.lessons:
            raise DataError("there is no edit to learn from that suits this model's tokenizer and context")
        self._facts, self._smoothing = curriculum.facts, smoothing
        told = conditions([lesson.wordings[0] for lesson in self.lessons])
        self._condition: Mapping[Question, Condition] = {
            lesson.wordings[0]: condition for lesson, condition in zip(self.lessons, told, strict=True)
        }

    def draw(self, rng: random.Random) -> Drawn:
        """The edits of one step."""
        return self.of(rng.sample(self.lessons, min(self._config.edits, len(self.lessons))), rng)

    def of(self, lessons: Sequence[Lesson], rng: random.Random) -> Drawn:
        """These edits, with wordings and facts to keep drawn anew."""
        config = self._config
        drawn = Drawn([], [], [], [self._condition[lesson.wordings[0]] for lesson in lessons])
        for number, lesson in enumerate(lessons):
            first, *others = lesson.wordings
            near = some(lesson.around, (config.kept + 1) // 2 if self._facts else config.kept, rng)
            far = [rng.choice(wordings) for wordings in some(self._facts, config.kept - len(near), rng)]
            drawn.edits.extend(row for row in (self._row(first),) if row)
            drawn.asked.extend(
                (row, number) for row in self._encoded([first, *some(others, config.wordings - 1, rng)])
            )
            drawn.kept.extend((row, number) for row in self._encoded([*near, *far]))
        return drawn

    def loss(
        self,
        network: Hypernetwork,
        objective: TrainingObjective,
        matrices: Sequence[EditedMatrix],
        drawn: Drawn,
        *,
        observe: bool = False,
    ) -> tuple[Tensor, Looked]:
        """The loss of some edits (), and what they say as `Looked`.

        Args:
            network: Makes the changes.
            objective: What the loss is made of.
            matrices: Where.
            drawn: The edits.
            observe: Whether the network takes the gradients into its statistics.
        """
        model, device = self._model, self._model.device
        # 1. The gradient of each edit at the unedited weights, and what the network makes of it.
        edits = ScoredTexts(drawn.edits, self._fill, device)
        with torch.enable_grad():
            gradient = edit_gradient(model, matrices, edits, smoothing=self._smoothing, below=self._below)
        if observe:
            network.observe(gradient)
        changes = network(gradient, drawn.conditions)
        # 2. The new object in several wordings, in the changed model.
        asked, edit_of = _batch(drawn.asked, self._fill, device)
        with changed(matrices, changes, edit_of):
            logits = asked.logits(model, asked.text_of, asked.column, self._below)  # (scored, vocabulary)
        new = asked.losses(logits, smoothing=self._smoothing).mean()  # ()
        exact = asked.exact(logits)  # (asked,)
        first = torch.cat([torch.ones_like(edit_of[:1]), edit_of.diff()]).bool()  # (asked,)
        # 3. How far the answers to other facts drift, at every token.
        drift, kept = self._drift(matrices, changes, drawn, device) if drawn.kept else (new.new_zeros(()), 1.0)
        reworded = exact[~first] if bool((~first).any()) else exact
        return objective(new, drift), Looked(_share(exact[first]), _share(reworded), kept)

    def _drift(
        self, matrices: Sequence[EditedMatrix], changes: Changes, drawn: Drawn, device: torch.device
    ) -> tuple[Tensor, float]:
        """() mean KL(unedited || changed) over all tokens, and the share of answers that are the same."""
        texts, edit_of = _batch(drawn.kept, self._fill, device)
        places = texts.every_place
        with torch.no_grad():
            unedited = log_softmax(texts.logits(self._model, *places, self._below), dim=-1)  # (tokens, vocabulary)
        with changed(matrices, changes, edit_of):
            edited = log_softmax(texts.logits(self._model, *places, self._below), dim=-1)  # (tokens, vocabulary)
        other = torch.zeros_like(texts.mask)
        other[places] = (unedited.argmax(dim=-1) != edited.argmax(dim=-1)).long()
        wrong = texts.per_text(other[texts.text_of, texts.column].float())  # (texts,)
        return kl_div(edited, unedited, log_target=True, reduction="batchmean"), _share(wrong == 0)

    def _row(self, question: Question) -> Row | None:
        """A question in tokens; None if it cannot be written or does not fit."""
        if question not in self._rows:
            found = encoded(self._tokenizer, [question], self._config.ending, longest=self._longest)
            self._rows[question] = next(found, None)
        return self._rows[question]

    def _encoded(self, questions: Sequence[Question]) -> list[Row]:
        return [row for question in questions if (row := self._row(question)) is not None]


def _batch(rows: Sequence[tuple[Row, int]], fill: int, device: torch.device) -> tuple[ScoredTexts, Tensor]:
    texts = ScoredTexts([row for row, _ in rows], fill, device)
    return texts, torch.tensor([edit for _, edit in rows], device=device)


def _share(right: Tensor) -> float:
    return float(right.float().mean())
