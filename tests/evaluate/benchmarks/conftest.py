"""A way to load records that a test writes out, and a model's answers made up by a test."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kgedit.evaluate.benchmarks.case import Seen, Wanted
from kgedit.evaluate.benchmarks.reading import Loaded, load
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.scoring.pairs import Pair
from kgedit.lm.scoring.teacher_forced import TargetScore

Answering = Callable[..., Seen]


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
