"""A way to load records that a test writes out, and a model's answers made up by a test."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kgedit.evaluate.benchmarks.case import Questions, Replies
from kgedit.evaluate.benchmarks.reading import Loaded, load
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.scoring.pairs import Pair
from kgedit.lm.scoring.teacher_forced import TargetScore

Answering = Callable[..., Replies]


@pytest.fixture
def load_records(tmp_path: Path) -> Callable[..., Loaded]:
    """Load the given records from a file made for it."""

    def from_file(*records: Any, format: str | None = None) -> Loaded:
        path = tmp_path / "records.json"
        path.write_text(json.dumps(records), encoding="utf-8")
        return load(path, format=format)

    return from_file


@pytest.fixture
def answering() -> Answering:
    """Answers all questions; whatever a test does not name is said wrongly and found improbable."""

    def made(
        questions: Questions,
        *,
        probable: Mapping[Pair, float] | None = None,
        said: Mapping[str | Ask, str] | None = None,
    ) -> Replies:
        likely, words = probable or {}, said or {}
        scores = {}
        for pair in questions.pairs:
            chance = likely.get(pair, 0.01)
            scores[pair] = TargetScore((1,), (math.log(chance),), (1 if chance > 0.5 else 2,))
        answers = {ask: words.get(ask, words.get(ask.prompt, "Nobody knows.")) for ask in questions.asks}
        assert likely.keys() <= scores.keys()
        assert {key for key in words if isinstance(key, str)} <= {ask.prompt for ask in answers}
        return Replies(scores, answers)

    return made
