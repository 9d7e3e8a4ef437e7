"""KE: editing by masks of the gradient that a network gives (De Cao, Aziz, Titov, EMNLP 2021, arXiv 2104.08164).

The network reads "old answer >> new answer || prompt" and is trained under a constraint: the new object becomes
probable while the answers to other facts drift by at most a margin, which becomes smaller as the training succeeds.
docs/methods.md, "KE".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from kgedit.lm.generation.greedy import complete
from kgedit.lm.padding import pad_id
from kgedit.lm.tokens import encode_text
from kgedit.methods.base import Workbench
from kgedit.methods.curriculum import Question
from kgedit.methods.engine.edit_gradient import Changes, EditedMatrix, Row, ScoredTexts, changed
from kgedit.methods.hyper.config import HyperSettings
from kgedit.methods.hyper.method import HyperMethod
from kgedit.methods.hyper.network import Condition, Hypernetwork, TrainingObjective
from kgedit.methods.ke.network import KeNetwork
from kgedit.methods.settings import MethodSettings
from kgedit.text.answer import shown

_READ_TOKENS = 32  # of what an edit says
_OLD_TOKENS = 12  # of the old answer
_SHRINK, _ENOUGH = 0.8, 0.9  # the margin becomes so much smaller where more than this share of the edits is taken
_WARM_UP = 0.005  # share of the training in which the learning rate rises


class KeConfig(HyperSettings):
    """Hyper-parameters of KE; the defaults are those published, but for batch and length of the training.

    Attributes:
        most: Largest share of the gradient that is used (s_max).
        smooth: Share of the wanted distribution that is spread over the vocabulary.
        margin: How far the answers to other facts may drift at first: KL divergence per token.
        least_margin: The smallest margin.
        learning_rate: Of RMSprop.
        multiplier_rate: The same for the multiplier of the constraint.
        repeats: A change is applied up to so many times, until the new object is the model's answer.
    """

    most: float = Field(default=1.0, gt=0)
    smooth: float = Field(default=0.1, ge=0, lt=1)
    margin: float = Field(default=1e-3, gt=0)
    least_margin: float = Field(default=1e-5, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    multiplier_rate: float = Field(default=0.1, gt=0)
    repeats: int = Field(default=10, ge=1)


class KeObjective(TrainingObjective):
    """The Lagrangian: L_new + a (KL - margin), minimised by the network and maximised by the multiplier a >= 0.

    Attributes:
        multiplier: a.
        margin: How far other answers may drift.
    """

    margin: Tensor

    def __init__(self, margin: float, least: float) -> None:
        """Begin with a multiplier of one."""
        super().__init__()
        self.multiplier = nn.Parameter(torch.ones(()))
        self.register_buffer("margin", torch.tensor(margin))
        self._least = least

    def forward(self, new: Tensor, drift: Tensor) -> Tensor:
        """See `TrainingObjective.forward`; the multiplier's gradient is reversed."""
        over = drift - self.margin
        return new + self.multiplier.detach() * over - self.multiplier * over.detach()

    @torch.no_grad()
    def bounded(self) -> None:
        """The multiplier of an inequality is not negative."""
        self.multiplier.clamp_(min=0)

    @torch.no_grad()
    def looked(self, taken: float) -> None:
        """The margin becomes smaller as long as edits succeed."""
        if taken > _ENOUGH:
            self.margin.mul_(_SHRINK).clamp_(min=self._least)


class Ke(HyperMethod):
    """The method; see the module's docstring."""

    name = "ke"
    summary = "A trained network masks the gradient of one edit, given what the edit says (De Cao et al., 2021)."
    Config: ClassVar[type[MethodSettings]] = KeConfig
    config: KeConfig

    def network(self, bench: Workbench, matrices: Sequence[EditedMatrix]) -> Hypernetwork:
        """The network before training."""
        embeddings = cast(Tensor, bench.model.get_input_embeddings().weight)
        return KeNetwork(matrices, embeddings, self.config.most)

    def trainer(self, network: Hypernetwork) -> tuple[TrainingObjective, torch.optim.Optimizer]:
        """The Lagrangian, and centred RMSprop for the network and for the multiplier."""
        config = self.config
        objective = KeObjective(config.margin, config.least_margin)
        groups: list[dict[str, Any]] = [
            {"params": list(network.parameters())},
            {"params": list(objective.parameters()), "lr": config.multiplier_rate},
        ]
        return objective, torch.optim.RMSprop(groups, lr=config.learning_rate, centered=True)

    def rate(self, over: float) -> float:
        """A short rise, then a linear fall to zero."""
        return min(over / _WARM_UP, 1.0) * (1 - over)

    @property
    def smoothing(self) -> float:
        """Of every loss."""
        return self.config.smooth

    def conditions(self, bench: Workbench, questions: Sequence[Question]) -> list[Condition]:
        """Each edit as "old answer >> new answer || prompt"; the old answer is what the model says."""
        prompts = list(dict.fromkeys(prompt for prompt, _ in questions))
        said = complete(bench.model, bench.tokenizer, prompts, max_new_tokens=_OLD_TOKENS, stop=("\n",))
        old = {prompt: shown(text) for prompt, text in zip(prompts, said, strict=True)}
        told = [f"{old[prompt]} >> {new} || {prompt}" for prompt, new in questions]
        return [encode_text(bench.tokenizer, text)[:_READ_TOKENS] for text in told]

    def scaled(self, bench: Workbench, matrices: Sequence[EditedMatrix], changes: Changes, edit: Row) -> Changes:
        """The change as many times as it takes to make the new object the answer; where none does, the best."""
        texts = ScoredTexts([edit], pad_id(bench.tokenizer), bench.model.device)
        only = texts.text_of.new_zeros(1)
        tried: dict[int, float] = {}
        for times in range(1, self.config.repeats + 1):
            repeated = _times(changes, times)
            with changed(matrices, repeated, only):
                logits = texts.logits(bench.model, texts.text_of, texts.column)  # (scored, vocabulary)
            if bool(texts.exact(logits)):
                return repeated
            tried[times] = float(texts.losses(logits))
        return _times(changes, min(tried, key=tried.__getitem__))


def _times(changes: Changes, times: int) -> Changes:
    return {name: (left, times * right) for name, (left, right) in changes.items()}
