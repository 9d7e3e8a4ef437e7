"""Keys that a write leaves alone, against the plain solve; joint writes taken apart; what an adapter's pass asks."""

from __future__ import annotations

import random

import pytest
import torch

from kgedit.delta import LowRankDelta, WeightUpdate
from kgedit.edit import Edit
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.known_facts import FactPool, KnownFact
from kgedit.ingest.decide.probes import NEIGHBOURS, Probes
from kgedit.ingest.decide.protected_keys import HeldMoment, scale_of, with_facts
from kgedit.ingest.decide.rehearsal import Lesson, epoch, lesson
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.decide.writer import columns
from kgedit.ingest.store.entry import Entry, PlannedEdit, State
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.methods.base import Request
from kgedit.methods.engine.closed_form import joint_form


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moment(size: int) -> SecondMoment:
    rows = draw(10 * size, size, seed=1)
    return SecondMoment(0, (rows.T @ rows / len(rows)).float(), 10 * size, "test")


def test_held_keys_enter_the_second_moment_as_if_they_had_been_added_to_it() -> None:
    base, keys, asked = moment(12), draw(5, 12, seed=2), draw(3, 12, seed=3)
    matrix = base.matrix.double()
    ridge = 1e-6 * matrix.diagonal().mean() * torch.eye(12, dtype=torch.float64)
    added = matrix + ridge + 0.5 * (scale_of(base) / keys.square().mean()) * keys.T @ keys
    assert torch.allclose(HeldMoment(base, keys, 0.5).solve(asked), torch.linalg.solve(added, asked.T).T, rtol=1e-4)


def test_without_keys_nothing_changes() -> None:
    base, asked = moment(8), draw(3, 8)
    assert torch.equal(HeldMoment(base, torch.zeros(0, 8), 1.0).solve(asked), base.solve(asked))
    assert with_facts(base, torch.zeros(0, 8), 1.0) is base
    identity = IdentityMoment()
    assert with_facts(identity, draw(4, 8), 1.0) is identity


def test_a_write_beside_held_keys_changes_them_less_and_its_own_key_as_much() -> None:
    base, own, other = moment(16), draw(1, 16, seed=4), draw(6, 16, seed=5)
    wanted = torch.ones(1, 1)
    plain = joint_form(own, base.solve(own), wanted, 0.0).double()
    held = joint_form(own, HeldMoment(base, other, 100.0).solve(own), wanted, 0.0).double()
    assert torch.allclose(own @ plain, torch.ones(1, 1, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(own @ held, torch.ones(1, 1, dtype=torch.float64), atol=1e-4)
    assert (other @ held).abs().max() < 0.1 * (other @ plain).abs().max()


def test_known_facts_weigh_as_much_as_the_text_when_their_weight_is_one() -> None:
    base, keys = moment(10), draw(30, 10, seed=6) * 7
    both = with_facts(base, keys, 1.0)
    assert scale_of(both) == pytest.approx(2 * scale_of(base), rel=1e-5)


def test_a_joint_write_is_the_sum_of_its_columns() -> None:
    joint = LowRankDelta((WeightUpdate("a.weight", draw(6, 3), draw(4, 3, seed=9)),), "base", {"method": "memit"})
    parts = columns(joint, 3)
    total = sum((part.updates[0].dense() for part in parts), torch.zeros(4, 6))
    assert torch.allclose(total, joint.updates[0].dense(), atol=1e-6)
    assert [part.manifest["column"] for part in parts] == [0, 1, 2]
    assert len({part.id for part in parts}) == 3
    with pytest.raises(ValueError, match="joint write of 2 edits"):
        columns(joint, 2)


def test_each_pass_asks_the_change_what_follows_and_other_facts_in_a_seeded_order() -> None:
    one = Lesson((("edit", "o"), ("w1", "o"), ("w2", "o"), ("w3", "o")), (("p", "x"),), (("n", "y"),))
    facts = [KnownFact("Q1", "P36", "Q2", f"Land{n}", f"Town{n}") for n in range(9)]
    pool = FactPool(tuple(facts), Verbalizer.bundled())
    asked = epoch([one], facts, pool, random.Random(0), rehearsed=4)
    assert asked == epoch([one], facts, pool, random.Random(0), rehearsed=4)
    assert asked != epoch([one], facts, pool, random.Random(1), rehearsed=4)
    assert {("edit", "o"), ("p", "x"), ("n", "y")} <= set(asked)
    assert len(asked) == 1 + 2 + 1 + 1 + 4
    assert len([pair for pair in asked if pair[1].startswith("Town")]) == 4


def test_an_adapter_is_not_trained_on_what_its_check_asks() -> None:
    """Neither on the wordings kept for the check, nor on the neighbours that a guard watches."""
    text = Verbalizer.bundled()
    watched = ("The capital of Land0 is", "Town0")
    kept = (text["P36"].cloze[1].replace("{}", "Peru"), "Lyon")
    probes = Probes((("The capital of Peru is", "Lyon"),), (kept,), (("path", "x"),), (watched,), (("own", "y"),))
    edit = Edit(subject="Q419", relation="P36", target_new="Q456", target_true="Q7")
    entry = Entry(id=1, key="k", slot="s", change=PlannedEdit(edit=edit), state=State.RECEIVED)
    item = ResolvedChange(entry, edit, Request("Peru", text["P36"].cloze[0], "Lyon", "P36"), None, probes)
    facts = [KnownFact(f"Q{n}", "P36", f"Q{n + 1}", f"Land{n}", f"Town{n}") for n in range(1, 12)]
    facts += [KnownFact("Q419", "P36", "Q2868", "Peru", "Lima"), KnownFact("Q5", "P30", "Q6", "Land5", "Asia")]
    learned = lesson(item, FactPool(tuple(facts), text), facts)
    assert kept not in learned.wordings
    assert watched not in learned.around
    assert learned.around[0] == ("own", "y")
    assert learned.around[1][1] == "Town6"  # the neighbour with the same old object comes first
    assert len(learned.around) == 1 + NEIGHBOURS
    assert not {"Lima", "Asia"} & {answer for _, answer in learned.around}
