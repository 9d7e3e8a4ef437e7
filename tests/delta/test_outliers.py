"""Changes at outliers: which tokens they act at, worked out by hand from what the layer reads."""

from __future__ import annotations

import pytest
import torch

from families import D_FF, D, tiny_model
from kgedit.delta import Delta, DeltaStack, WeightUpdate, hash_weights
from kgedit.delta.outliers import OutlierDelta, acting_everywhere, peaks, z_scores
from kgedit.errors import UnsupportedExport
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture
from kgedit.lm.padding import pad
from kgedit.lm.scoring.pairs import score_pairs

TEXT, SHORT = "Therefore Marie Curie works in the field of", "Nintendo is in"


def test_standard_scores_by_hand() -> None:
    """Mean 1/2, deviations 1/2, 1/2, 1/2 and 3/2, so their standard deviation is sqrt(3 / 3) = 1."""
    assert z_scores(torch.tensor([0.0, 0.0, 0.0, 2.0])).tolist() == pytest.approx([-0.5, -0.5, -0.5, 1.5])
    assert z_scores(torch.tensor([3.0, 3.0])).tolist() == [0.0, 0.0]
    assert z_scores(torch.tensor([3.0])).tolist() == [0.0]


def update(name: str, seed: int, conv1d: bool) -> WeightUpdate:
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(D_FF, 2, generator=generator), torch.randn(D, 2, generator=generator)
    return WeightUpdate(name, left, right, conv1d)


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_it_acts_where_it_stands_out_and_nowhere_else(family: str) -> None:
    model, tok = tiny_model(family)
    anatomy = anatomy_of(model)
    name, module = anatomy.weight_name(1), anatomy.mlp_out(model, 1)
    parts = [update(name, seed, anatomy.conv1d) for seed in (1, 2)]
    base = hash_weights(model, [name])
    rows = [tok(text)["input_ids"] for text in (TEXT, SHORT)]
    ids, mask = pad(rows, 0, "right")

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad(), capture({"k": module}, inputs=True, rows=2) as k, capture({"m": module}, rows=2) as m:
            model(input_ids=ids, attention_mask=mask)
        return k["k"], m["m"]

    keys, plain = run()
    stack = DeltaStack(model)
    stack.apply(OutlierDelta(tuple(parts[:1]), (1.5,), base))
    stack.apply(OutlierDelta(tuple(parts[1:]), (1.0,), base))
    _, edited = run()
    # By hand: the length of both changes together, against the tokens of the same prompt; the smaller alpha counts.
    both = parts[0].dense() + parts[1].dense()
    for row, tokens in enumerate(rows):
        added = keys[row, : len(tokens)] @ both.T
        lengths = added.norm(dim=-1)
        scores = (lengths - lengths.mean()) / lengths.std()
        assert peaks(model, parts[1], [keys[row, : len(tokens)]])[0] > 0
        for place in range(ids.shape[1]):
            if place < len(tokens) and scores[place] >= 1.0:
                assert torch.allclose(edited[row, place], plain[row, place] + added[place], atol=1e-4)
            else:
                assert torch.equal(edited[row, place], plain[row, place])
    with acting_everywhere(model):
        _, whole = run()
    assert torch.allclose(whole, plain + keys @ both.T, atol=1e-4)
    stack.revert_all()
    assert torch.equal(run()[1], plain)
    assert not module._forward_hooks


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_prompts_that_begin_alike_are_looked_at_one_by_one(family: str) -> None:
    """What stands out among their common tokens depends on what follows, so they cannot be scored as one tree."""
    model, tok = tiny_model(family)
    anatomy = anatomy_of(model)
    name = anatomy.weight_name(1)
    pairs = [
        (f"Therefore Marie Curie works in {rest}", "Danish") for rest in ("the field of", "a city near Nintendo of")
    ]
    delta = OutlierDelta((update(name, 1, anatomy.conv1d),), (0.5,), hash_weights(model, [name]))
    with delta.apply(model):
        alone = [score_pairs(model, tok, [pair])[pair].mean_logprob for pair in pairs]
        together = score_pairs(model, tok, pairs)
    assert [together[pair].mean_logprob for pair in pairs] == pytest.approx(alone, abs=1e-5)


def test_it_is_saved_and_loaded_and_is_no_adapter(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    name = anatomy_of(model).weight_name(1)
    delta = OutlierDelta((update(name, 1, True),), (1.5,), hash_weights(model, [name]), {"method": "memit"})
    loaded = Delta.load(delta.save(tmp_path / "saved"), model)
    assert isinstance(loaded, OutlierDelta)
    assert (loaded.id, loaded.thresholds, loaded.manifest) == (delta.id, (1.5,), {"method": "memit"})
    with pytest.raises(UnsupportedExport, match="outliers"):
        delta.export(model, tmp_path / "adapter")
    joined = OutlierDelta.joined([delta, loaded], delta.base_hash, {})
    assert (len(joined.updates), joined.thresholds) == (2, (1.5, 1.5))
    with pytest.raises(ValueError, match="a threshold for each"):
        OutlierDelta(delta.updates, (), "")
