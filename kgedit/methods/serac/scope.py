"""The scope classifier of SERAC: which prompts an edit is about (Mitchell et al., ICML 2022, eq. 3).

Two prompts are embedded, e(x) = P x with x the direction of what a layer of the frozen model reads at the prompt's
last token; g = exp(-||e(x) - e(x')||^2) is the probability that one is in the scope of the other, routed above a
threshold (the paper's is 1/2). P is trained on prompts that ask one fact in different wordings, and on those of other
facts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import harmonic_mean

import torch
from torch import Tensor, nn

from kgedit.methods.curriculum import Lesson

_TYPICAL = 1.3  # times a squared distance of directions: puts g = 1/2 between wordings and neighbours, at first
_ALIKE = 1e-4  # g stays so far from 1 in the logarithm


def reach(threshold: float) -> float:
    """The distance ||e(x) - e(x')|| at which g is the threshold."""
    return math.sqrt(-math.log(threshold))


class ScopeClassifier(nn.Module):
    """P (m, d_ff), random at first."""

    def __init__(self, size: int, d_ff: int, seed: int) -> None:
        """Draw P, so that distances are about those of the directions themselves."""
        super().__init__()
        drawn = torch.randn(size, d_ff, generator=torch.Generator().manual_seed(seed))
        self.projection = nn.Parameter(drawn * math.sqrt(_TYPICAL / size))  # (m, d_ff)

    def forward(self, directions: Tensor) -> Tensor:
        """Embeddings (..., m) of directions (..., d_ff)."""
        return directions @ self.projection.T


@dataclass(frozen=True)
class ScopeCase:
    """An edit as the classifier sees it: numbers of prompts.

    Attributes:
        edit: The edit prompt.
        inside: Other wordings of its fact.
        outside: Prompts of other facts of its relation.
    """

    edit: int
    inside: tuple[int, ...]
    outside: tuple[int, ...]


class ScopeCases:
    """The edits of a curriculum, and the directions of all their prompts."""

    def __init__(self, lessons: Sequence[Lesson], directions_of: Callable[[Sequence[str]], Tensor]) -> None:
        """Read each prompt once.

        Args:
            lessons: Edits with their wordings and the facts around them.
            directions_of: Gives (prompts, d_ff) directions.
        """
        number: dict[str, int] = {}

        def numbers(questions: Sequence[tuple[str, str]]) -> tuple[int, ...]:
            return tuple(number.setdefault(prompt, len(number)) for prompt, _ in questions)

        # One fact is changed to several objects in a curriculum: here it counts once for each edit prompt.
        cases: dict[int, ScopeCase] = {}
        for lesson in lessons:
            edit, *inside = numbers(lesson.wordings)
            if inside and lesson.around:
                cases[edit] = ScopeCase(edit, tuple(inside), numbers(lesson.around))
        self.cases = list(cases.values())
        self.directions = directions_of(list(number)) if number else torch.zeros(0, 0)  # (prompts, d_ff)

    def loss(self, classifier: ScopeClassifier, rng: random.Random, size: int) -> tuple[Tensor, Mapping[str, float]]:
        """Balanced cross-entropy of a batch of edits, and how many prompts are routed rightly.

        Args:
            classifier: What is trained.
            rng: Draws the edits, and a wording of each.
            size: Edits in the batch.
        """
        drawn = rng.sample(self.cases, min(size, len(self.cases)))
        edit = classifier(self.directions[[case.edit for case in drawn]])  # (edits, m)
        wording = classifier(self.directions[[rng.choice(case.inside) for case in drawn]])  # (edits, m)
        inside = (edit - wording).square().sum(-1)  # (edits,) -log g of the pairs in scope
        # Of the facts around an edit the nearest one: most of them are far away from the start.
        outside = torch.stack(
            [
                (classifier(self.directions[list(case.outside)]) - own).square().sum(-1).amin()
                for case, own in zip(drawn, edit, strict=True)
            ]
        )  # (edits,)
        # Of the other edits' prompts the nearest one, unless it asks the same fact.
        others = (edit[:, None] - wording[None]).square().sum(-1)  # (edits, edits)
        asks_it = torch.tensor([[{c.edit, *c.inside} & {d.edit, *d.inside} != set() for d in drawn] for c in drawn])
        nearest = others.masked_fill(asks_it.to(others.device), math.inf).amin(-1)  # (edits,)
        apart = torch.cat([outside, nearest[nearest.isfinite()]])
        # Mean of each side, so that the many prompts outside do not outweigh the few inside (released code).
        loss = inside.mean() - torch.log1p(-torch.exp(-apart).clamp(max=1 - _ALIKE)).mean()
        half = math.log(2)  # ||e(x) - e(x')||^2 at which g is 1/2
        routed = {
            "inside": float((inside < half).float().mean()),
            "outside": float((outside > half).float().mean()),
            "others": float((nearest > half).float().mean()),
        }
        return loss, routed | {"score": harmonic_mean(list(routed.values()))}
