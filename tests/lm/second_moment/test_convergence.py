"""Whether there was enough text: two halves of little text give other directions, two of much text the same."""

from __future__ import annotations

import pytest
import torch

from families import SENTENCES, tiny_model
from kgedit.lm.second_moment.collect import collect
from kgedit.lm.second_moment.convergence import HalvesChange, relative_change


def moment(tokens: int, width: int = 16, seed: int = 0) -> torch.Tensor:
    keys = torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return keys.T @ keys / tokens


def test_the_change_falls_as_the_root_of_the_text() -> None:
    keys = torch.randn(200, 16, generator=torch.Generator().manual_seed(9))
    changes = [relative_change(moment(n), moment(n, seed=1), keys) for n in (100, 1_600, 25_600)]
    assert changes[0] / changes[1] == pytest.approx(4, rel=0.4)
    assert changes[1] / changes[2] == pytest.approx(4, rel=0.4)
    # Two halves of n tokens: about sqrt(2 d / n).
    assert changes[1] == pytest.approx((2 * 16 / 1_600) ** 0.5, rel=0.3)
    assert relative_change(moment(100), moment(100), keys) == 0


def test_what_cannot_be_solved_with_is_no_text_at_all() -> None:
    assert relative_change(
        torch.zeros(4, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64), torch.ones(1, 4)
    ) == float("inf")


@pytest.mark.parametrize(("change", "verdict"), [(0.05, "settled"), (0.2, "enough"), (0.5, "too little text")])
def test_the_verdict_is_that_of_the_layer_that_is_least_settled(change: float, verdict: str) -> None:
    assert HalvesChange(1000, {3: 0.01, 4: change}).verdict == verdict


def test_halves_change_nothing_but_rounding_and_are_told_as_the_text_doubles() -> None:
    model, tok = tiny_model("llama")
    texts = SENTENCES * 30
    told: list[HalvesChange] = []
    plain = collect(model, tok, texts, [0, 2], batch_tokens=16)
    halved = collect(model, tok, texts, [0, 2], batch_tokens=16, on_halves=told.append)
    for layer in (0, 2):
        torch.testing.assert_close(halved[layer].matrix, plain[layer].matrix, rtol=1e-5, atol=1e-6)
        assert (halved[layer].key, halved[layer].count) == (plain[layer].key, plain[layer].count)
    tokens = [change.tokens for change in told]
    assert len(tokens) > 2
    assert tokens[-1] == halved[0].count
    assert all(b >= 2 * a for a, b in zip(tokens, tokens[1:-1], strict=False))
    assert set(told[-1].changes) == {0, 2}
    # The same sentences again and again: the halves agree better and better.
    assert told[-1].largest < told[0].largest


def test_reading_stops_at_the_wanted_number_of_tokens() -> None:
    model, tok = tiny_model("llama")
    read: list[str] = []

    def texts():  # noqa: ANN202
        for text in SENTENCES * 300:
            read.append(text)
            yield text

    got = collect(model, tok, texts(), [0], max_tokens=100)[0]
    assert 100 <= got.count < 130
    assert len(read) <= 128
