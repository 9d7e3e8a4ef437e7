"""First tokens with huge keys are found by measurement, and only those."""

from __future__ import annotations

import torch

from families import SENTENCES, tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.second_moment.collect import collect
from kgedit.lm.second_moment.first_tokens import outlying_first_tokens

TEXTS = [f"{a} {b}" for a in SENTENCES for b in SENTENCES]


def test_a_model_without_outliers_keeps_all_tokens() -> None:
    model, tok = tiny_model("llama")
    measured = outlying_first_tokens(model, tok, TEXTS, [0, 2])
    assert measured.left_out == 0
    assert set(measured.ratios) == {0, 2}
    assert outlying_first_tokens(model, tok, ["a"], [0]) == (0, {})


def test_outliers_of_one_layer_are_found_and_leaving_them_out_takes_them_out_of_c() -> None:
    model, tok = tiny_model("gpt2")  # learned positions: the embedding of the first two is blown up
    up = anatomy_of(model).block(model, 1).mlp.c_fc
    places: list[int] = []

    def blow_up(module, args, output):  # noqa: ANN001, ANN202
        places.append(output.shape[1])
        factor = torch.ones(output.shape[1])
        factor[:2] = 100.0
        return output * factor[:, None]

    handle = up.register_forward_hook(blow_up)
    try:
        assert outlying_first_tokens(model, tok, TEXTS, [0]).left_out == 0
        measured = outlying_first_tokens(model, tok, TEXTS, [0, 1])
        assert measured.left_out == 2
        assert min(measured.ratios[1][:2]) > 1000 > max(measured.ratios[1][2:])
        whole, rest = (collect(model, tok, TEXTS, [1], skip_first=n)[1] for n in (0, 2))
    finally:
        handle.remove()
    clean = collect(model, tok, TEXTS, [1], skip_first=2)[1]
    assert whole.matrix.trace() > 100 * rest.matrix.trace()
    torch.testing.assert_close(rest.matrix, clean.matrix, rtol=1e-4, atol=1e-6)
