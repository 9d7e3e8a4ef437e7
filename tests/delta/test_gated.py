"""A gated change acts at the tokens whose key opens its gate, and nowhere else, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kgedit.delta import Delta, DeltaStack, LowRankDelta, WeightUpdate, compose, hash_weights
from kgedit.delta.gated import Gate, GatedDelta, gated, rooted
from kgedit.errors import UnsupportedExport, WrongBase


class Layer(nn.Module):
    """A model of one linear layer, 3 -> 2."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Module()
        self.block.mlp = nn.Linear(3, 2)
        with torch.no_grad():
            self.block.mlp.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]]))
            self.block.mlp.bias.copy_(torch.tensor([0.25, -0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block.mlp(x)  # type: ignore[no-any-return]


NAME = "block.mlp.weight"


def low_rank(model: nn.Module, left: list[float], right: list[float]) -> LowRankDelta:
    update = WeightUpdate(NAME, torch.tensor([left]).T, torch.tensor([right]).T)
    return LowRankDelta((update,), hash_weights(model, [NAME]), {"method": "by hand"})


def on_first(model: nn.Module, threshold: float = 0.9) -> GatedDelta:
    """dW = (10, 20)^T (1, 0, 0), open near the first axis."""
    return gated(low_rank(model, [1, 0, 0], [10, 20]), {NAME: torch.tensor([[5.0, 0.0, 0.0]])}, threshold)


KEYS = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


def test_known_answers() -> None:
    """cos with the key: 1, 0.707, 0, -1 and none at all. Only the first row gets dW k = (20, 40)."""
    model = Layer()
    before = model(KEYS)
    with on_first(model).apply(model):
        after = model(KEYS)
    assert torch.equal(after[0], before[0] + torch.tensor([20.0, 40.0]))
    assert torch.equal(after[1:].view(torch.int32), before[1:].view(torch.int32))
    with on_first(model, threshold=0.7).apply(model):
        wider = model(KEYS)
    assert torch.equal(wider[1], before[1] + torch.tensor([10.0, 20.0]))
    assert torch.equal(model(KEYS), before)


def test_keys_are_compared_by_their_roots() -> None:
    """(100, 9, 0) and (100, 0, 9) share one huge number: cosine 0.992 by the numbers, 100 / 109 by roots."""
    roots = rooted(torch.tensor([[100.0, 9.0, 0.0], [100.0, 0.0, -9.0], [-4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert roots.tolist()[2:] == [[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert float(roots[0] @ roots[1]) == pytest.approx(100 / 109)
    assert roots[1, 2] == pytest.approx(-3 / 109**0.5)
    model = Layer()
    token = torch.tensor([[100.0, 0.0, 9.0]])
    before = model(token)
    change = low_rank(model, [1, 0, 0], [10, 20])
    keys = torch.nn.functional.normalize(torch.tensor([[100.0, 9.0, 0.0]]), dim=-1)
    for exponent, threshold, opens in ((0.5, 0.9, True), (0.5, 0.95, False), (1.0, 0.95, True), (1.0, 0.995, False)):
        gate = Gate(change.updates[0], keys, threshold, exponent)
        with GatedDelta((gate,), change.base_hash).apply(model):
            assert bool((model(token) != before).any()) is opens, (exponent, threshold)


def test_gates_of_earlier_versions_compare_keys_as_they_are() -> None:
    """Their files name no exponent; id and answers stay, beside gates of this version on the same layer as well."""
    model = Layer()
    change = low_rank(model, [1, 0, 0], [10, 20])
    old = GatedDelta((Gate(change.updates[0], torch.tensor([[1.0, 0.0, 0.0]]), 0.71, 1.0),), change.base_hash)
    assert old.stored().parts == [{"name": NAME, "conv1d": False, "threshold": 0.71}]
    loaded = GatedDelta.from_stored(old.stored())
    assert loaded.id == old.id
    keys = torch.tensor([[4.0, 3.9, 0.0], [0.0, 0.0, 1.0]])  # cosine with (1, 0, 0): 0.716, by roots 0.708
    new = gated(low_rank(model, [0, 0, 1], [5, 5]), {NAME: torch.tensor([[0.0, 0.0, 1.0]])}, 0.9)
    assert new.stored().parts[0]["exponent"] == 0.5
    before = model(keys)
    stack = DeltaStack(model)
    stack.apply(new)
    stack.apply(loaded)
    assert (model(keys) - before).tolist() == [[40.0, 80.0], [5.0, 5.0]]


def test_a_key_that_every_text_begins_with_opens_for_itself_alone(tmp_path) -> None:
    """Llama-like models read nearly the same at any first token: a subject there would open its gate everywhere.

    The key (16, 9, 0) has roots (4, 3, 0) / 5. Of what is closed (1, 0, 0) is the nearest, at 0.8: the key's threshold
    is 0.9. (0, 0, 1) is near nothing closed and keeps 0.7.
    """
    model = Layer()
    keys = torch.tensor([[16.0, 9.0, 0.0], [0.0, 0.0, 1.0]])
    closed = {NAME: torch.tensor([[1.0, 0.0, 0.0], [0.0, 5.0, 0.0]])}
    delta = gated(low_rank(model, [1, 1, 1], [10, 20]), {NAME: keys}, 0.7, closed)
    (gate,) = delta.gates
    assert gate.thresholds is not None
    assert gate.thresholds.tolist() == pytest.approx([0.9, 0.7])
    tokens = torch.tensor([[1.0, 0.0, 0.0], [16.0, 9.0, 0.0], [9.0, 1.0, 0.0], [0.0, 1.0, 3.0]])  # 0.8, 1, 0.95; 0.87
    before = model(tokens)
    with delta.apply(model):
        opened = (model(tokens) != before).any(-1)
    assert opened.tolist() == [False, True, True, True]
    loaded = Delta.load(delta.save(tmp_path / "gated"), model)
    assert loaded.id == delta.id != gated(low_rank(model, [1, 1, 1], [10, 20]), {NAME: keys}, 0.7).id
    with loaded.apply(model):
        assert (model(tokens) != before).any(-1).tolist() == opened.tolist()


def test_each_gate_opens_its_own_change() -> None:
    """Two changes on one layer; a token near both keys, (1, 1, 0) at cosines of 0.707 and 0.998, gets the nearer's."""
    model = Layer()
    before = model(KEYS)
    second = gated(low_rank(model, [0, 1, 0], [100, 0]), {NAME: torch.tensor([[0.6, 0.8, 0.0]])}, 0.95)
    both = compose(on_first(model, threshold=0.7), second, base_hash=hash_weights(model, [NAME]))
    assert isinstance(both, GatedDelta)
    with both.apply(model):
        after = model(KEYS) - before
    stack = DeltaStack(model)
    stack.apply(on_first(model, threshold=0.7))
    stack.apply(second)
    assert len(model.block.mlp._forward_hooks) == 1, "a thousand edits are one look, not a thousand"
    assert torch.equal(model(KEYS) - before, after)
    assert after.tolist() == [[20.0, 40.0], [100.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    # A second edit of the same subject has nearly the same key: both act.
    alike = gated(low_rank(model, [0, 1, 0], [0, 7]), {NAME: torch.tensor([[0.62, 0.785, 0.0]])}, 0.95)
    stack.apply(alike)
    assert (model(KEYS) - before).tolist()[1] == [100.0, 7.0]
    stack.revert(alike.id)
    stack.revert(second.id)
    assert (model(KEYS) - before).tolist()[1] == [10.0, 20.0]
    stack.revert_all()
    assert torch.equal(model(KEYS), before)
    assert not model.block.mlp._forward_hooks


def test_weights_stay_and_must_be_those_it_was_made_for() -> None:
    model = Layer()
    delta, weight = on_first(model), model.block.mlp.weight
    bytes_before = weight.detach().clone()
    with delta.apply(model):
        assert torch.equal(weight, bytes_before)
    assert delta.norms(model)[NAME] == pytest.approx(500**0.5 / float(bytes_before.norm()))
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(WrongBase):
        delta.apply(model)


def test_saved_and_loaded_it_is_the_same(tmp_path) -> None:
    """Keys that were brought to length 1 are kept to the last bit, so the id stays."""
    model = Layer()
    keys = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    keys[0] = torch.tensor([5.0, 0.0, 0.0])
    delta = gated(low_rank(model, [1, 0, 0], [10, 20]), {NAME: keys}, 0.9)
    loaded = Delta.load(delta.save(tmp_path / "gated"), model)
    assert loaded.id == delta.id
    with loaded.apply(model):
        first = model(KEYS)
    with delta.apply(model):
        assert torch.equal(model(KEYS), first)
    assert loaded.manifest == {"method": "by hand", "gate": 0.9}


def test_an_adapter_cannot_hold_it_and_kinds_do_not_mix() -> None:
    model = Layer()
    delta = on_first(model)
    with pytest.raises(UnsupportedExport, match="gated"):
        delta.export(model, "anywhere")
    with pytest.raises(UnsupportedExport, match="gated, low-rank"):
        compose(delta, low_rank(model, [1, 0, 0], [1, 1]))


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan"), -1.0])
def test_a_threshold_is_a_cosine(threshold) -> None:
    with pytest.raises(ValueError, match="threshold"):
        on_first(Layer(), threshold)


def test_keys_must_fit() -> None:
    update = WeightUpdate(NAME, torch.ones(3, 1), torch.ones(2, 1))
    for keys in (torch.ones(1, 2), torch.zeros(0, 3), torch.ones(3), torch.tensor([[1.0, float("inf"), 0.0]])):
        with pytest.raises(ValueError, match="keys"):
            Gate(update, keys, 0.5)


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.0], [0.5, 1.5], [0.5, float("nan")]])
def test_each_key_needs_a_threshold(thresholds) -> None:
    update = WeightUpdate(NAME, torch.ones(3, 1), torch.ones(2, 1))
    with pytest.raises(ValueError, match="for each of its 2 keys"):
        Gate(update, torch.eye(3)[:2], 0.5, thresholds=torch.tensor(thresholds))


@pytest.mark.parametrize("exponent", [0.0, 1.5, float("nan"), -0.5])
def test_an_exponent_is_a_root(exponent) -> None:
    update = WeightUpdate(NAME, torch.ones(3, 1), torch.ones(2, 1))
    with pytest.raises(ValueError, match="exponent"):
        Gate(update, torch.tensor([[1.0, 0.0, 0.0]]), 0.5, exponent)


def test_many_keys_are_compared_some_tokens_at_a_time(monkeypatch) -> None:
    """Ten thousand edits have a quarter of a million keys: what a token gets does not depend on the others."""
    model = Layer()
    tokens = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    tokens[0, 1] = tokens[2, 3] = tokens[3, 4] = torch.tensor([5.0, 0.0, 0.0])
    before = model(tokens)
    with on_first(model).apply(model):
        at_once = model(tokens)
        monkeypatch.setattr("kgedit.delta.gated._MOST_COSINES", 3)
        in_pieces = model(tokens)
    assert torch.equal(at_once, in_pieces)
    assert bool((at_once[3, 4] != before[3, 4]).all())
    assert torch.equal(at_once[1], before[1])
