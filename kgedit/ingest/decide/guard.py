"""Guards: what must hold before a batch may become durable, with thresholds per model.

(a) every number finite, (b) the relative norm of each delta and of all together, (c) the target's probability and
its exact answer, (d) perplexity on fixed sentences, (e) recall of fixed facts that no change speaks of, (f) changes
accepted earlier still answer right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.ingest.decide.known_facts import FactPool, ask_all
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.lm.scoring.perplexity import perplexity
from kgedit.lm.tokens import encode_text

Mode = Literal["refuse", "warn"]

_SENTENCES = 100  # whose perplexity is measured
_UPPER = ("norm", "norm_cumulative", "perplexity")  # thresholds that a number must not exceed; others are lower bounds


class GuardSettings(BaseModel):
    """Thresholds; the table [guards] of a model's preset, calibrated by `kgedit ingest calibrate`.

    Attributes:
        norm: Largest ||D|| / ||W|| of one change's delta on any weight.
        norm_cumulative: The same of all applied changes together.
        probability: Least probability of the new object after the edit prompt.
        paths: Least share of the change's paths that answer right.
        neighbours: Least share of the same relation's facts of other subjects that are kept.
        subject: Least share of the subject's other facts that are kept.
        perplexity: Largest perplexity of the fixed sentences, as a multiple of the unedited model's.
        locality: Least share of the fixed facts still recalled.
        kept: Least share of the changes accepted earlier that still answer right.
        facts: Number of fixed facts; the first 100 of them are the fixed sentences, too.
        seed: Draws them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: float = Field(default=0.2, gt=0)
    norm_cumulative: float = Field(default=1.0, gt=0)
    probability: float = Field(default=0.5, ge=0, le=1)
    paths: float = Field(default=0.0, ge=0, le=1)
    neighbours: float = Field(default=0.6, ge=0, le=1)
    subject: float = Field(default=0.5, ge=0, le=1)
    perplexity: float = Field(default=1.3, ge=1)
    locality: float = Field(default=0.965, ge=0, le=1)
    kept: float = Field(default=0.98, ge=0, le=1)
    facts: int = Field(default=300, ge=1)
    seed: int = 0


class Guard:
    """The guards of a model: thresholds, and the measures of the unedited model that they refer to.

    Attributes:
        settings: The thresholds.
        facts: The fixed facts, all recalled by the unedited model.
    """

    def __init__(
        self, settings: GuardSettings, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pool: FactPool
    ) -> None:
        """Choose facts and sentences, and read the unedited model's perplexity.

        Args:
            settings: The thresholds.
            model: The model, unedited.
            tokenizer: Its tokenizer.
            pool: Where facts come from; only its watched part is used.
        """
        self.settings, self._tokenizer, self._pool = settings, tokenizer, pool
        self.facts = pool.recalled(model, tokenizer, settings.facts, seed=settings.seed, part="watched")
        self._sentences = [self._sentence(fact) for fact in self.facts[:_SENTENCES]]
        self._perplexity = self.perplexity(model)

    def of_fewer(self, facts: int) -> Guard:
        """The same guards over the first so many of the fixed facts."""
        fewer = copy(self)
        fewer.facts = self.facts[:facts]
        return fewer

    def perplexity(self, model: PreTrainedModel) -> float:
        """Of the fixed sentences, per token; infinite where the model gives no number any more."""
        return perplexity(model, self._sentences) if self._sentences else 1.0

    def batch(
        self, model: PreTrainedModel, earlier: Sequence[tuple[str, str]], changed: set[tuple[str, str]]
    ) -> dict[str, float]:
        """Measure the model as it is now.

        Args:
            model: The model with a batch on trial.
            earlier: Question and right answer of each change accepted earlier.
            changed: Subject and relation of every applied or tried change; these are no fixed facts.

        Returns:
            "perplexity" as a multiple, "locality" and "kept" as shares.
        """
        facts = [fact for fact in self.facts if (fact.subject, fact.relation) not in changed]
        questions = [self._pool.by_any_name(fact) for fact in facts]
        answers = ask_all(model, self._tokenizer, [*questions, *earlier])
        return {
            "perplexity": self.perplexity(model) / self._perplexity,
            "locality": _share(answers[: len(facts)]),
            "kept": _share(answers[len(facts) :]),
        }

    def failures(self, numbers: Mapping[str, float]) -> list[str]:
        """The numbers beyond their thresholds, each in words with both values; empty when all is well."""
        failures = []
        for name, threshold in self.settings.model_dump(exclude={"facts", "seed"}).items():
            if name not in numbers:
                continue
            value, upper = numbers[name], name in _UPPER
            # A NaN is on neither side, and no pass.
            if not (value <= threshold if upper else value >= threshold):
                failures.append(f"{name} {value:.4g} is {'above' if upper else 'below'} {threshold:g}")
        if "efficacy" in numbers and numbers["efficacy"] < 1:
            failures.append("the edit prompt is not answered with the new object")
        return failures

    def _sentence(self, fact: KnownFact) -> tuple[int, ...]:
        """Tokens of a fact as a sentence, in another wording than the one it is asked in."""
        prompt, answer = self._pool.question(fact, 1)
        return encode_text(self._tokenizer, f"{prompt} {answer}.")


def _share(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers) if answers else 1.0
