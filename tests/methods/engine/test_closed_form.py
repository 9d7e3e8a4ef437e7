"""The closed form: exact where the mathematics is exact, and a clear error where there is no answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.oracle import Plain, sentence
from families import FAMILIES, D, tiny_model
from kgedit.delta import LowRankDelta
from kgedit.errors import IllConditioned
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.hooks import frozen
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.methods.engine.closed_form import closed_form, joint_form
from kgedit.methods.engine.objective import Objective, essence_row, target_rows
from kgedit.methods.engine.write_layers import write_layers
from methods.benches import PREFIXES, Diagonal, state_of

ROWS, WIDTH, D_FF = 6, 5, 12
CONTEXTS = [0, 1, 2, 3]


def numbers(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, SecondMoment]:
    """Keys (6, 12), values m = W k (6, 5), an offset (5,), and a second moment that is no multiple of I."""
    draw = torch.Generator().manual_seed(seed)
    keys, weight = torch.randn(ROWS, D_FF, generator=draw), torch.randn(WIDTH, D_FF, generator=draw)
    more = torch.randn(400, D_FF, generator=draw) * torch.linspace(0.5, 2, D_FF)
    moment = SecondMoment(0, more.T @ more / len(more), len(more), "")
    return keys, keys @ weight.T, torch.randn(WIDTH, generator=draw), moment


def test_averaged_moves_the_mean_key_to_m_star() -> None:
    keys, values, offset, moment = numbers()
    left, right = closed_form("averaged", keys, values, offset, CONTEXTS, moment)
    moved = values[CONTEXTS].mean(0) + (right @ left.T) @ keys[CONTEXTS].mean(0)
    torch.testing.assert_close(moved, values[0] + offset, rtol=1e-5, atol=1e-6)
    direct = torch.linalg.solve(moment.matrix.double(), keys[CONTEXTS].mean(0).double())
    assert float(torch.cosine_similarity(left[:, 0].double(), direct, dim=0)) == pytest.approx(1, abs=1e-9)


def test_original_moves_the_bare_key_along_the_direction_of_the_mean() -> None:
    keys, values, offset, moment = numbers()
    left, right = closed_form("original", keys, values, offset, CONTEXTS, moment)
    assert torch.equal(right[:, 0], offset)
    torch.testing.assert_close((right @ left.T) @ keys[0], offset, rtol=1e-5, atol=1e-6)
    averaged, _ = closed_form("averaged", keys, values, offset, CONTEXTS, moment)
    assert float(torch.cosine_similarity(left, averaged, dim=0)) == pytest.approx(1, abs=1e-6)


def test_contexts_moves_every_key_by_the_offset() -> None:
    keys, values, offset, moment = numbers()
    left, right = closed_form("contexts", keys, values, offset, CONTEXTS, moment, ridge=0.0)
    torch.testing.assert_close(keys @ left, torch.ones(ROWS, 1), rtol=1e-5, atol=1e-5)
    assert torch.equal(right[:, 0], offset)
    # Of all changes that do so, this is the one that moves other keys least.
    other = left + torch.linalg.qr(keys.T, mode="complete").Q[:, ROWS:] @ torch.ones(D_FF - ROWS, 1)
    C = moment.matrix
    assert float(left.T @ C @ left) < float(other.T @ C @ other)


def test_a_ridge_trades_exactness_for_a_smaller_change() -> None:
    keys, values, offset, moment = numbers()
    keys[1] = keys[0] + 0.05 * keys[1]  # nearly the same context twice
    found = [closed_form("contexts", keys, values, offset, CONTEXTS, moment, ridge=r)[0] for r in (0.0, 0.02, 0.5)]
    misses = [float((keys @ left - 1).abs().max()) for left in found]
    assert misses[0] < 1e-4 < misses[1] < misses[2]
    assert found[0].norm() > found[1].norm() > found[2].norm()


@pytest.mark.parametrize("key", ["averaged", "original", "contexts"])
def test_with_one_row_all_variants_are_the_same(key) -> None:
    keys, values, offset, moment = numbers()
    left, right = closed_form(key, keys[:1], values[:1], offset, [0], moment, ridge=0.0)
    k, solved = keys[0].double(), torch.linalg.solve(moment.matrix.double(), keys[0].double())
    torch.testing.assert_close(left[:, 0].double(), solved / (k @ solved), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(right[:, 0], offset)


@pytest.mark.parametrize("number", [2 * D_FF, 2 * D_FF + 1, 300])
def test_many_keys_give_the_change_that_the_defining_equation_gives(number) -> None:
    """C^-1 K^T (K C^-1 K^T + eps I)^-1 T, written out with inverses, on both sides of where the way changes."""
    _, _, _, moment = numbers()
    draw = torch.Generator().manual_seed(1)
    keys, shares = torch.randn(number, D_FF, generator=draw), torch.zeros(number, 3)
    shares[torch.arange(9), torch.arange(9) // 3] = 1.0
    solved, wide = moment.solve(keys), keys.double()
    inverse = torch.linalg.inv(
        moment.matrix.double() + moment.ridge * moment.matrix.double().diagonal().mean() * torch.eye(D_FF)
    )
    gram = wide @ inverse @ wide.T
    direct = (
        inverse @ wide.T @ torch.linalg.inv(gram + 0.02 * gram.diagonal().mean() * torch.eye(number)) @ shares.double()
    )
    torch.testing.assert_close(joint_form(keys, solved, shares, 0.02).double(), direct, rtol=1e-5, atol=1e-8)


def test_prompts_that_share_a_key_need_no_ridge() -> None:
    """Every prompt that begins with the subject has the same key there, up to rounding."""
    keys, values, offset, moment = numbers()
    alone, _ = closed_form("contexts", keys[:1], values[:1], offset, [0], moment, ridge=0.0)
    noise = 1 + 1e-7 * torch.randn(4, D_FF, generator=torch.Generator().manual_seed(3))
    shared = keys[:1].expand(4, -1) * noise
    left, _ = closed_form("contexts", shared, values[:4], offset, [0, 1, 2, 3], moment, ridge=0.0)
    torch.testing.assert_close(left, alone, rtol=1e-4, atol=1e-5)


def test_the_scale_of_the_second_moment_is_of_no_consequence() -> None:
    keys, values, offset, moment = numbers()
    larger = SecondMoment(0, 1000 * moment.matrix, moment.count, "")
    for key in ("averaged", "original", "contexts"):
        one = closed_form(key, keys, values, offset, CONTEXTS, moment)
        other = closed_form(key, keys, values, offset, CONTEXTS, larger)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_bare_key_across_the_mean_direction_is_refused() -> None:
    """The published arithmetic explodes here; the averaged key does not."""
    keys = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 2.0, 0.0]])
    moment = SecondMoment(0, torch.eye(3), 100, "")
    with pytest.raises(IllConditioned, match='key="averaged"'):
        closed_form("original", keys, torch.zeros(2, 2), torch.ones(2), [0, 1], moment)
    closed_form("averaged", keys, torch.zeros(2, 2), torch.ones(2), [0, 1], moment)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_factors_are_float32_whatever_the_model_is_in(dtype) -> None:
    keys, values, offset, moment = numbers()
    left, right = closed_form("averaged", keys.to(dtype), values.to(dtype), offset, CONTEXTS, moment)
    assert left.dtype == right.dtype == torch.float32
    assert left.shape == (D_FF, 1)
    assert right.shape == (WIDTH, 1)


@pytest.mark.parametrize("key", ["averaged", "original", "contexts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_is_solved_for_the_keys_that_the_layers_below_lead_to(family, key) -> None:
    model, tok = tiny_model(family)
    anatomy, layers, before = anatomy_of(model), (0, 2), state_of(model)
    prompt, subject, target = "The mother tongue of {} is", "Marie Curie", "Danish"
    rows = (*target_rows(tok, prompt, subject, target, PREFIXES), essence_row(tok, subject, 0.1))
    sentences = [sentence(tok, prompt, subject, target, prefix) for prefix in PREFIXES]
    sentences.append(sentence(tok, "{} is a", subject))
    offset = torch.randn(2, D, generator=torch.Generator().manual_seed(1))
    moment = Diagonal(88)
    with frozen(model):
        cases = [[(Objective(rows), offset)]]
        (updates,) = write_layers(model, anatomy, cases, layers, dict.fromkeys(layers, moment), key=key, ridge=0.0)
        assert state_of(model)["bytes"] == before["bytes"]
        with LowRankDelta(updates[:1], "").apply(model, check=False):
            plain = Plain(model, layers, sentences)  # what the second layer meets once the first is written
            weight = to_math(anatomy.weight(model, 2), anatomy.conv1d)
            edited = weight + updates[1].dense()
            keys, values = plain.keys[:, 1], plain.values[:, 1]
            shift = keys @ (edited - weight).T  # (rows, d)
            if key == "averaged":
                moved, wanted = (values + shift)[:4].mean(0), values[0] + offset[1]
            elif key == "original":
                moved, wanted = (values + shift)[0], values[0] + offset[1]
            else:
                moved, wanted = values + shift, values + offset[1]
            assert float((moved - wanted).norm()) < 1e-5 * float(wanted.norm())
    assert [update.name for update in updates] == [anatomy.weight_name(layer) for layer in layers]
    assert state_of(model) == before


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_edits_of_one_case_get_their_own_offset_each_and_the_tokens_behind_get_nothing(family) -> None:
    model, tok = tiny_model(family)
    anatomy, layers = anatomy_of(model), (0, 2)
    facts = [("The mother tongue of {} is", "Marie Curie", "Danish"), ("{} is a citizen of", "Nintendo", "Japan")]
    objectives = [Objective(tuple(target_rows(tok, *fact, PREFIXES[:2]))) for fact in facts]
    offsets = torch.randn(2, 2, D, generator=torch.Generator().manual_seed(1))  # (edits, layers, d)
    cases = [list(zip(objectives, offsets, strict=True)), [(objectives[0], offsets[1])]]
    moments = dict.fromkeys(layers, Diagonal(88))
    with frozen(model):
        both, alone = write_layers(model, anatomy, cases, layers, moments, key="contexts", ridge=0.0)
        (apart,) = write_layers(model, anatomy, cases[1:], layers, moments, key="contexts", ridge=0.0)
        for one, other in zip(alone, apart, strict=True):  # cases do not see each other
            assert float((one.dense() - other.dense()).norm()) < 1e-4 * float(other.dense().norm())
        with LowRankDelta(both[:1], "").apply(model, check=False):
            for (prompt, subject, target), offset in zip(facts, offsets, strict=True):
                plain = Plain(model, layers, [sentence(tok, prompt, subject, target, p) for p in PREFIXES[:2]])
                shift = plain.keys[:, 1] @ both[1].dense().T  # (rows, d), at the subject
                assert float((shift - offset[1]).norm()) < 1e-4 * float(offset[1].norm()) * 2
