"""Guards: each threshold refuses on its own, with both numbers; what they watch is never what is measured."""

from __future__ import annotations

import math

import pytest
import torch

from kg_cache.bundled import bundled_store
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.guard import Guard, GuardSettings
from kgedit.ingest.decide.known_facts import FactPool, part_of
from kgedit.lm.load import load_model
from kgedit.mini import mini_folder

GOOD = {
    "norm": 0.01, "norm_cumulative": 0.1, "probability": 0.99, "paths": 1.0, "neighbours": 1.0, "subject": 1.0,
    "perplexity": 1.0, "locality": 1.0, "kept": 1.0, "efficacy": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def mini():
    return load_model(str(mini_folder()), dtype=torch.float32)


@pytest.fixture(scope="module")
def pool() -> FactPool:
    return FactPool.of("mini", bundled_store(), Verbalizer.bundled())


@pytest.fixture(scope="module")
def guard(mini, pool) -> Guard:
    return Guard(GuardSettings(facts=40), *mini, pool)


def test_nothing_is_refused_when_all_is_well(guard) -> None:
    assert guard.failures(GOOD) == []


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("norm", 0.5), ("norm_cumulative", 7.0), ("probability", 0.01), ("neighbours", 0.2), ("subject", 0.1),
        ("perplexity", 3.0), ("locality", 0.9), ("kept", 0.9), ("norm", math.nan), ("perplexity", math.inf),
        ("locality", math.nan),
    ],
)  # fmt: skip
def test_each_guard_refuses_on_its_own_with_both_numbers(guard, name, bad) -> None:
    (reason,) = guard.failures({**GOOD, name: bad})
    assert reason.startswith(f"{name} {bad:.4g} is ")
    assert reason.endswith(f"{getattr(guard.settings, name):g}")


def test_a_wrong_answer_is_refused_however_probable(guard) -> None:
    assert guard.failures({**GOOD, "efficacy": 0.0}) == ["the edit prompt is not answered with the new object"]


def test_the_unedited_model_passes_its_own_guards(guard, mini) -> None:
    numbers = guard.batch(mini[0], [], set())
    assert numbers == {"perplexity": 1.0, "locality": 1.0, "kept": 1.0}


def test_a_ruined_model_is_seen_by_perplexity_locality_and_earlier_changes(guard, mini, pool) -> None:
    model, _ = mini
    weight = model.get_parameter("transformer.h.2.mlp.c_proj.weight")
    saved = weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        weight += torch.randn(weight.shape, generator=generator)
    try:
        numbers = guard.batch(model, [pool.question(fact) for fact in guard.facts[:10]], set())
    finally:
        with torch.no_grad():
            weight.copy_(saved)
    assert numbers["perplexity"] > 1.5
    assert numbers["locality"] < 0.5
    assert numbers["kept"] < 0.5
    assert len(guard.failures(numbers)) == 3


def test_facts_that_were_changed_on_purpose_are_no_fixed_facts(guard, mini) -> None:
    model, _ = mini
    changed = {(fact.subject, fact.relation) for fact in guard.facts}
    assert guard.batch(model, [("The capital of France is", "Nowhere")], changed)["locality"] == 1.0
    assert guard.batch(model, [("The capital of France is", "Nowhere")], changed)["kept"] == 0.0


def test_what_guards_watch_is_never_what_the_end_of_a_run_measures(guard, mini, pool) -> None:
    measured = pool.recalled(*mini, 60, seed=0, part="measured", without={guard.facts[0].object})
    assert len(measured) == 60
    assert not {(f.subject, f.relation) for f in measured} & {(f.subject, f.relation) for f in guard.facts}
    assert all(part_of(f.subject, f.relation) == "watched" for f in guard.facts)
    assert guard.facts[0].object not in {f.object for f in measured}
    assert all(pool.ask(*mini, measured))
    assert measured == pool.recalled(*mini, 60, seed=0, part="measured", without={guard.facts[0].object})
