"""The scope classifier by numbers worked out by hand."""

from __future__ import annotations

import math
import random

import pytest
import torch

from kgedit.delta.codebook import Codebook, KeyedValue, Lookup
from kgedit.delta.keyed import scope_of
from kgedit.delta.prompt_ends import PromptPlace
from kgedit.methods.curriculum import Lesson
from kgedit.methods.serac.method import SeracSettings
from kgedit.methods.serac.scope import ScopeCases, ScopeClassifier, reach

PROJECTION = torch.tensor([[2.0, 0.0, 0.0]])  # e(x) = 2 x_1
DIRECTIONS = {"a": 0.0, "a too": 0.2, "b": 0.5, "b too": 0.6}


def test_a_prompt_is_routed_to_the_nearest_edit_with_more_than_one_half() -> None:
    """g = exp(-d^2) is 1/2 at d = sqrt(ln 2) = 0.833; e of the unit vectors is twice their first coordinate."""
    lookup = Lookup(reach(0.5), adapts=False, replaces=True, unit=True, scope=scope_of(PROJECTION))
    assert math.exp(-(lookup.radius**2)) == pytest.approx(0.5)
    memory = [
        KeyedValue(torch.tensor([2 * x]), torch.tensor([value]), (int(value),)) for x, value in ((0, 1), (0.9, 2))
    ]
    inputs = torch.tensor([[[3 * x, 3 * math.sqrt(1 - x * x), 0.0] for x in (0.0, 0.41, 0.42, 0.44, 0.5, 0.9, -0.42)]])
    asked = lookup.query(inputs, [PromptPlace(0, (column,)) for column in range(7)], PROJECTION)
    assert asked[:, 0].tolist() == pytest.approx([0, 0.82, 0.84, 0.88, 1.0, 1.8, -0.84], abs=1e-6)
    # 0.84 and 0.88 are in no scope: 0.96 and 0.92 from the other edit. 1.0 is 0.8 from it.
    assert Codebook(lookup, memory).find(asked).tolist() == [0, 0, -1, -1, 1, 1, -1]
    # A threshold of 0.6 reaches sqrt(-ln 0.6) = 0.715 far: 0.82 and 1.0 are out of scope, too.
    stricter = SeracSettings(layer=0, threshold=0.6).lookup
    assert Codebook(stricter, memory).find(asked).tolist() == [0, -1, -1, -1, -1, 1, -1]


def test_the_loss_is_balanced_cross_entropy_of_pairs_inside_and_outside() -> None:
    lessons = [
        Lesson((("a", ""), ("a too", "")), around=(("b", ""),)),
        Lesson((("b", ""), ("b too", "")), around=(("a", ""),)),
        Lesson((("b", "another object"), ("b too", "")), around=(("a", ""),)),
    ]
    cases = ScopeCases(lessons, lambda prompts: torch.tensor([[DIRECTIONS[text], 0.0, 0.0] for text in prompts]))
    assert len(cases.cases) == 2  # one fact counts once
    classifier = ScopeClassifier(1, 3, seed=0)
    with torch.no_grad():
        classifier.projection.copy_(PROJECTION)
    loss, routed = cases.loss(classifier, random.Random(0), 10)
    # Squared distances: inside 0.4^2 and 0.2^2; outside 1 twice; nearest of the other fact 1.2^2 and 0.6^2.
    inside = (0.16 + 0.04) / 2
    outside = -sum(math.log(1 - math.exp(-d)) for d in (1.0, 1.0, 1.44, 0.36)) / 4
    assert float(loss.detach()) == pytest.approx(inside + outside, rel=1e-5)
    assert {name: routed[name] for name in ("inside", "outside", "others")} == {
        "inside": 1,
        "outside": 1,
        "others": 0.5,
    }
