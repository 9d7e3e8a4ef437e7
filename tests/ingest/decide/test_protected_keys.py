"""Keys that a write leaves alone, against the plain solve."""

from __future__ import annotations

import pytest
import torch

from kgedit.ingest.decide.protected_keys import HeldMoment, with_facts
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.methods.engine.closed_form import joint_form
from kgedit.methods.engine.metric import scale_of


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
