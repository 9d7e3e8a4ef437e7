"""Whatever is applied and taken back in any order: the weights are base plus what remains, bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from families import tiny_model
from kgedit.delta import DeltaStack, LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import AlreadyApplied, EditDiverged, UnknownEdit, WeightsChanged, WrongBase

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
NAMES = ("0.weight", "1.weight", "2.weight")


def three_layers(dtype: torch.dtype) -> nn.Sequential:
    """Three matrices, enough for the algebra."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 6), nn.Linear(6, 4)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def random_delta(model: nn.Module, names, seed: int) -> LowRankDelta:
    generator = torch.Generator().manual_seed(seed)
    updates = []
    for name in names:
        d_out, d_in = model.get_parameter(name).shape
        rank = 1 + seed % 3
        updates.append(
            WeightUpdate(
                name,
                torch.randn(d_in, rank, generator=generator),
                torch.randn(d_out, rank, generator=generator),
            )
        )
    return LowRankDelta(tuple(updates), hash_weights(model, names), {"seed": seed})


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def replayed(deltas, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The reference: a fresh model, the deltas applied one after another."""
    model = three_layers(dtype)
    for delta in deltas:
        delta.apply(model, check=False)
    return weights(model)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), st.sets(st.sampled_from(NAMES), min_size=1)),
        st.tuples(st.just("revert"), st.integers(0, 20)),
        st.tuples(st.just("revert_all"), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=120, deadline=None)
@given(steps=STEPS, dtype=st.sampled_from(DTYPES))
def test_any_sequence_leaves_base_plus_what_remains(steps, dtype) -> None:
    model = three_layers(dtype)
    base, stack, live = weights(model), DeltaStack(model), {}
    for number, (action, value) in enumerate(steps):
        if action == "apply":
            delta = random_delta(model, sorted(value), seed=number)
            live[stack.apply(delta)] = delta
        elif action == "revert" and live:
            chosen = list(live)[value % len(live)]
            stack.revert(chosen)
            del live[chosen]
        elif action == "revert_all":
            stack.revert_all()
            live.clear()
        assert stack.ids == tuple(live)
        assert equal(weights(model), replayed(live.values(), dtype))
    for chosen in list(live):
        stack.revert(chosen)
    assert equal(weights(model), base)


@settings(max_examples=40, deadline=None)
@given(gone=st.sets(st.integers(0, 4)), dtype=st.sampled_from(DTYPES))
def test_what_is_live_can_be_saved_and_put_on_the_unedited_model(gone, dtype) -> None:
    """Deltas were computed on edited weights, some edits before them are gone; still each fits the base."""
    model = three_layers(dtype)
    stack = DeltaStack(model)
    ids = [stack.apply(random_delta(model, NAMES[seed % 2 : 2], seed)) for seed in range(5)]
    for index in gone:
        stack.revert(ids[index])
    fresh = three_layers(dtype)
    again = DeltaStack(fresh)
    for delta in stack.deltas:
        again.apply(delta)
    assert again.ids == stack.ids
    assert equal(weights(fresh), weights(model))


def test_a_saved_ledger_round_trips_through_files(tmp_path) -> None:
    model = three_layers(torch.bfloat16)
    stack = DeltaStack(model)
    ids = [stack.apply(random_delta(model, NAMES[:2], seed)) for seed in range(3)]
    stack.revert(ids[0])
    for number, delta in enumerate(stack.deltas):
        delta.save(tmp_path / str(number))
    fresh = three_layers(torch.bfloat16)
    again = DeltaStack(fresh)
    for number in range(2):
        again.apply(LowRankDelta.load(tmp_path / str(number)))
    assert equal(weights(fresh), weights(model))


def test_a_delta_says_what_it_was_computed_on() -> None:
    model = three_layers(torch.float32)
    stack = DeltaStack(model)
    first = random_delta(model, NAMES[:1], 1)
    stack.apply(first)
    second = random_delta(model, NAMES[:1], 2)
    stack.apply(second)
    assert "computed_on" not in stack.deltas[0].manifest
    assert stack.deltas[1].manifest == {"seed": 2, "computed_on": second.base_hash}
    assert {delta.base_hash for delta in stack.deltas} == {first.base_hash}


def test_composed_is_one_delta_on_the_unedited_model() -> None:
    model = three_layers(torch.float32)
    stack = DeltaStack(model)
    assert stack.composed() is None
    for seed in range(3):
        stack.apply(random_delta(model, NAMES[seed : seed + 1] + NAMES[:1] * (seed > 0), seed))
    fresh = three_layers(torch.float32)
    stack.composed().apply(fresh)
    for name in NAMES:
        torch.testing.assert_close(fresh.get_parameter(name), model.get_parameter(name))


def test_the_base_hash_is_that_of_the_unedited_weights_throughout() -> None:
    model = three_layers(torch.float32)
    before = hash_weights(model, NAMES)
    stack = DeltaStack(model)
    edit = stack.apply(random_delta(model, NAMES[:2], 0))
    assert stack.base_hash(NAMES) == before != hash_weights(model, NAMES)
    stack.revert(edit)
    assert hash_weights(model, NAMES) == stack.base_hash(NAMES) == before


def test_a_preview_on_top_leaves_the_ledger_in_step() -> None:
    model = three_layers(torch.bfloat16)
    stack = DeltaStack(model)
    kept = stack.apply(random_delta(model, NAMES, 1))
    before = weights(model)
    with random_delta(model, NAMES, 2).apply(model):
        with pytest.raises(WeightsChanged):  # a kept edit beneath a running preview would be lost at its end
            stack.apply(random_delta(model, NAMES, 3))
        with pytest.raises(WeightsChanged):
            stack.revert(kept)
    assert equal(weights(model), before)
    stack.revert(kept)
    assert equal(weights(model), weights(three_layers(torch.bfloat16)))


def test_the_same_delta_twice_is_refused() -> None:
    model = three_layers(torch.float32)
    stack, delta = DeltaStack(model), random_delta(three_layers(torch.float32), NAMES, 0)
    stack.apply(delta)
    before = weights(model)
    with pytest.raises(AlreadyApplied, match=delta.id):
        stack.apply(delta)
    assert equal(weights(model), before)
    stack.revert(delta.id)
    stack.apply(delta)  # but again after it was taken back


def test_a_delta_of_another_base_is_refused() -> None:
    model = three_layers(torch.float32)
    stack = DeltaStack(model)
    stranger = LowRankDelta(random_delta(model, NAMES, 0).updates, "0" * 64)
    before = weights(model)
    with pytest.raises(WrongBase, match=r"0{64}.*" + hash_weights(model, NAMES)):
        stack.apply(stranger)
    assert equal(weights(model), before)
    assert stack.ids == ()


def test_an_unknown_id_lists_the_known_ones() -> None:
    model = three_layers(torch.float32)
    stack = DeltaStack(model)
    with pytest.raises(UnknownEdit, match="'abc'.*none"):
        stack.revert("abc")
    known = stack.apply(random_delta(model, NAMES, 0))
    with pytest.raises(UnknownEdit, match=known):
        stack.revert("abc")


def test_training_in_between_is_noticed_and_only_lost_by_force() -> None:
    model = three_layers(torch.float32)
    base, stack = weights(model), DeltaStack(model)
    edit = stack.apply(random_delta(model, NAMES, 0))
    with torch.no_grad():
        model[0].weight.add_(1.0)
    trained = weights(model)
    for refused in (lambda: stack.revert(edit), stack.revert_all):
        with pytest.raises(WeightsChanged, match=r"0\.weight"):
            refused()
    assert equal(weights(model), trained)
    assert stack.ids == (edit,)
    stack.revert_all(force=True)
    assert equal(weights(model), base)


def test_an_overflow_leaves_model_and_ledger_as_they_were() -> None:
    model = three_layers(torch.float16)
    stack = DeltaStack(model)
    kept = stack.apply(random_delta(model, NAMES, 0))
    before = weights(model)
    huge = LowRankDelta(
        (WeightUpdate("0.weight", torch.full((5, 1), 300.0), torch.full((7, 1), 300.0)),),
        hash_weights(model, ["0.weight"]),
    )
    with pytest.raises(EditDiverged):
        stack.apply(huge)
    assert equal(weights(model), before)
    assert stack.ids == (kept,)
    stack.revert(kept)


def test_memory_of_the_base_is_given_back() -> None:
    """After the last edit of a weight is gone, a change of that weight from outside is the new base."""
    model = three_layers(torch.float32)
    stack = DeltaStack(model)
    stack.revert(stack.apply(random_delta(model, NAMES, 0)))
    with torch.no_grad():
        model[0].weight.mul_(2.0)
    base = weights(model)
    stack.revert(stack.apply(random_delta(model, NAMES, 1)))
    assert equal(weights(model), base)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_ten_edits_of_a_language_model_in_mixed_order(family, make_delta) -> None:
    model = tiny_model(family)[0].to(torch.bfloat16)
    base, stack = weights(model), DeltaStack(model)
    ids = [stack.apply(make_delta(model, layers=(seed % 3,), seed=seed)) for seed in range(10)]
    for index in (3, 0, 9, 5, 1, 2, 8, 4, 7, 6):
        stack.revert(ids[index])
    assert equal(weights(model), base)
