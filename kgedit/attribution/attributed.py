"""The result: how much each text speaks for an answer, by each score."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from kgedit.attribution.settings import AttributionSettings


class Attributed(BaseModel):
    """How much each text made the model give one answer.

    Attributes:
        prompt: The prompt.
        answer: The answer.
        logprob: Mean log-probability of an answer token, natural logarithm.
        texts: Number of texts.
        settings: How they were scored.
        layers: Blocks whose MLP matrices counted.
        scores: Name of the score -> the score of each text; the larger, the more the text speaks for the answer. They
            have different units: compare ranks.
        residual: What conjugate gradients left of the equation, relative to its right side; None without `influence`.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str
    answer: str
    logprob: float
    texts: int
    settings: AttributionSettings
    layers: tuple[int, ...]
    scores: dict[str, tuple[float, ...]]
    residual: float | None = None

    def best(self, score: str, count: int) -> list[int]:
        """Numbers of the texts with the highest score, counted from 0, the highest first."""
        found = self.scores[score]
        return sorted(range(self.texts), key=lambda number: (-found[number], number))[:count]

    def ranks(self, score: str) -> list[int]:
        """Rank of each text by a score, counted from 1."""
        ranks = [0] * self.texts
        for rank, number in enumerate(self.best(score, self.texts), start=1):
            ranks[number] = rank
        return ranks
