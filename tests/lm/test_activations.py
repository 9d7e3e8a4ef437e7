"""GELU as one kernel: the same values, for models that write it out, and only while it is asked for."""

from __future__ import annotations

import torch
from transformers.activations import NewGELUActivation

from families import tiny_model
from kgedit.lm.activations import fused_activations


def test_the_kernel_gives_what_the_formula_gives_and_the_module_is_put_back() -> None:
    model, _ = tiny_model("gpt2")
    (written_out, *_) = [module for module in model.modules() if isinstance(module, NewGELUActivation)]
    x = torch.linspace(-6, 6, 1001)
    expected = written_out(x)
    with fused_activations(model):
        assert "forward" in written_out.__dict__
        torch.testing.assert_close(written_out(x), expected, rtol=1e-6, atol=1e-6)
        with fused_activations(model):  # twice, as where one computation stands inside another
            pass
        assert "forward" in written_out.__dict__
    assert "forward" not in written_out.__dict__
    assert torch.equal(written_out(x), expected)
