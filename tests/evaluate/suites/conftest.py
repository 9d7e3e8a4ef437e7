"""A model's answers made up by a test: what it says, and how probable it finds each target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest

from kgedit.evaluate.metrics.generation import Ask
from kgedit.evaluate.metrics.scores import Pair, TargetScore
from kgedit.evaluate.suites.case import Seen, Wanted

Answering = Callable[..., Seen]


@pytest.fixture
def answering() -> Answering:
    """Answers all that is wanted; whatever a test does not name is said wrongly and found improbable."""

    def made(
        wanted: Wanted, *, probable: Mapping[Pair, float] | None = None, said: Mapping[str | Ask, str] | None = None
    ) -> Seen:
        likely, words = probable or {}, said or {}
        scores = {}
        for pair in wanted.pairs:
            chance = likely.get(pair, 0.01)
            scores[pair] = TargetScore((1,), (math.log(chance),), (1 if chance > 0.5 else 2,))
        answers = {ask: words.get(ask, words.get(ask.prompt, "Nobody knows.")) for ask in wanted.asks}
        assert likely.keys() <= scores.keys()
        assert {key for key in words if isinstance(key, str)} <= {ask.prompt for ask in answers}
        return Seen(scores, answers)

    return made
