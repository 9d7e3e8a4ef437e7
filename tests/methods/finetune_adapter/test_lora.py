"""An adapter around a model: exact factors, and a model as it was afterwards."""

from __future__ import annotations

import pytest
import torch

from families import tiny_model
from kgedit.delta import LowRankDelta, hash_weights
from kgedit.errors import SettingError
from kgedit.methods.finetune_adapter.lora import factors_from, factors_of, lora, updates_of
from methods.benches import state_of

pytest.importorskip("peft")

SHAPE = {"rank": 2, "scale": 4.0, "modules": "all-linear", "seed": 0}


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
def test_the_delta_of_the_factors_does_what_the_adapter_did(family) -> None:
    model, tok = tiny_model(family)
    before = state_of(model)
    ids = torch.tensor([tok("Nintendo is in Kyoto").input_ids])
    with lora(model, **SHAPE) as adapter:
        for name, parameter in adapter.named_parameters():
            if "lora_B" in name:
                with torch.no_grad():
                    parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
        with torch.no_grad():
            adapted = adapter(input_ids=ids).logits
        factors = factors_of(adapter)
    assert state_of(model) == before
    updates = updates_of(factors, model, 4.0)
    delta = LowRankDelta(updates, hash_weights(model, [update.name for update in updates]))
    with delta.apply(model), torch.no_grad():
        assert torch.allclose(model(input_ids=ids).logits, adapted, atol=1e-4)
    with lora(model, **SHAPE, begin=factors_from(delta, 4.0)) as again:
        resumed = factors_of(again)
    assert all(
        torch.equal(resumed[name][0], a) and torch.equal(resumed[name][1], b) for name, (a, b) in factors.items()
    )


def test_the_model_is_as_it_was_where_peft_stops_half_way() -> None:
    """The norms cannot be adapted, the matrices before them are already."""
    model, _ = tiny_model("mistral")
    before, kinds = state_of(model), [type(module) for module in model.modules()]
    wrong = lora(model, **SHAPE | {"modules": ("down_proj", "input_layernorm")})
    with pytest.raises(SettingError, match="peft cannot put an adapter"), wrong:
        pass
    assert [type(module) for module in model.modules()] == kinds
    assert state_of(model) == before
    assert not hasattr(model, "peft_config")
    with lora(model, **SHAPE):
        pass


def test_the_model_is_as_it_was_after_an_error_too() -> None:
    model, _ = tiny_model("gpt2")
    model.train()
    before, drawn = state_of(model), torch.random.get_rng_state()
    with pytest.raises(RuntimeError, match="stop"), lora(model, **SHAPE):
        raise RuntimeError("stop")
    assert state_of(model) == before
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert not hasattr(model, "peft_config")
