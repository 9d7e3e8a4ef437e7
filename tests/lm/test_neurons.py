"""Integrated gradients against closed values, on every family against runs with a key set to zero; sets by hand."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, LAYERS, tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.neurons import Neuron, attributions, coarse_set, integrated_gradients, own_answer, refined_set
from methods.benches import state_of

TEXT = "Therefore Marie Curie works in the field of"
WEIGHT, POINT = torch.tensor([2.0, -1.0, 3.0]), torch.tensor([1.0, 4.0, -2.0])


@pytest.mark.parametrize(("steps", "rows"), [(1, 64), (7, 3), (20, 64)])
def test_on_a_linear_layer_the_attribution_is_input_times_weight(steps: int, rows: int) -> None:
    found = integrated_gradients(lambda inputs: inputs @ WEIGHT + 5.0, POINT, steps=steps, rows=rows)
    assert found.tolist() == pytest.approx([2.0, -4.0, -6.0])


@pytest.mark.parametrize(("steps", "rows"), [(1, 64), (7, 3), (20, 64)])
def test_on_the_square_of_one_it_is_that_times_the_output(steps: int, rows: int) -> None:
    """F = (w x)^2 with w x = 2 - 4 - 6 = -8: the integral of 2 (w t x) w_i x_i over t is w_i x_i times -8."""
    found = integrated_gradients(lambda inputs: (inputs @ WEIGHT) ** 2, POINT, steps=steps, rows=rows)
    assert found.tolist() == pytest.approx([-16.0, 32.0, 48.0])


@pytest.mark.parametrize("family", FAMILIES)
def test_attributions_of_a_layer_sum_to_what_its_key_at_the_last_token_gives(family: str) -> None:
    model, tok = tiny_model(family)
    ids, before = tok(TEXT)["input_ids"], state_of(model)
    (token,) = own_answer(model, tok, ids, most=1)
    anatomy, whole = anatomy_of(model), probability(model, ids, token)
    # A norm behind the MLP jumps at 0, where the sum begins; above it, the key's length makes no difference.
    steps, least = (8, 0.1) if anatomy.post_mlp_path else (64, 0.0)
    with torch.inference_mode():
        found = attributions(model, ids, [token], steps=steps, rows=50)
    assert state_of(model) == before
    for layer in range(LAYERS):

        def without(module, args):
            key = args[0].reshape(1, len(ids), -1).clone()
            key[:, -1] *= least  # noqa: B023
            return (key.reshape(args[0].shape),)

        handle = anatomy.mlp_out(model, layer).register_forward_pre_hook(without)
        rest = probability(model, ids, token)
        handle.remove()
        assert float(found[layer].sum()) == pytest.approx(whole - rest, abs=5e-4)


def probability(model, ids, token) -> float:
    with torch.no_grad():
        return float(model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)[token])


def test_an_answer_of_several_tokens_is_the_mean_over_them_and_one_token_is_prompt_enough() -> None:
    model, tok = tiny_model("llama")
    ids = tok(TEXT)["input_ids"]
    first, second = attributions(model, ids, [5]), attributions(model, [*ids, 5], [7])
    assert torch.allclose(attributions(model, ids, [5, 7]), (first + second) / 2, atol=1e-6)
    assert attributions(model, ids[:1], [5]).shape == first.shape


def test_the_coarse_set_is_what_is_above_a_share_of_the_largest() -> None:
    attributed = torch.tensor([[0.1, -3.0, 1.0], [0.2, 0.21, 0.0]])
    found = coarse_set(attributed, 0.2)
    assert [(neuron.layer, neuron.entry) for neuron in found] == [(0, 2), (1, 1)]
    assert [neuron.attribution for neuron in found] == pytest.approx([1.0, 0.21])
    assert coarse_set(-attributed.abs()) == []


def test_the_refined_set_is_what_more_than_a_share_of_the_wordings_have() -> None:
    sets = [[Neuron(0, 1, 4.0), Neuron(2, 5, 1.0)], [Neuron(2, 5, 2.0), Neuron(1, 1, 9.0)], [Neuron(2, 5, 3.0)]]
    assert refined_set(sets, 0.4) == [Neuron(2, 5, 2.0)]
    assert refined_set(sets, 0.3) == [Neuron(2, 5, 2.0), Neuron(1, 1, 9.0), Neuron(0, 1, 4.0)]
    assert refined_set([], 0.3) == []
