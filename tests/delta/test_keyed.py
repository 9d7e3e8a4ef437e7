"""A keyed store acts at the end of its prompt, once, however the pass is cut; everything else keeps every bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import Delta, DeltaStack, compose, hash_weights
from kgedit.delta.codebook import KeyedValue, Lookup
from kgedit.delta.keyed import KeyedDelta, scope_of
from kgedit.delta.prompt_ends import prompt_watch
from kgedit.delta.storage import save_stored
from kgedit.errors import FileCorrupt, UnsupportedExport, UnsupportedModel
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.generation.greedy import continue_greedily
from kgedit.lm.hooks import capture
from kgedit.lm.scoring.teacher_forced import score_rows

LAYER = 1
PROMPT, OTHER = (60, 61, 62, 63, 64), (70, 71)
LOOKUP = Lookup(radius=1e-3, adapts=True, replaces=True)


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


def store(model, *prompts, lookup=LOOKUP, seed=0) -> KeyedDelta:
    """An entry for each prompt, with a value that has nothing to do with it."""
    anatomy, generator = anatomy_of(model), torch.Generator().manual_seed(seed)
    name, entries = anatomy.weight_name(LAYER), []
    for prompt in prompts:
        modules = {"k": anatomy.mlp_out(model, LAYER)}
        with capture(modules, inputs=True, rows=1) as keys, capture(modules, rows=1) as outputs:
            logits(model, prompt)
        value = 3 * torch.randn(outputs["k"].shape[-1], generator=generator)
        entries.append(KeyedValue(keys["k"][0, -1].clone(), value, prompt))
    return KeyedDelta(name, lookup, tuple(entries), hash_weights(model, [name]), {"method": "by hand"})


def say(model, tok, texts):
    return continue_greedily(model, tok, texts, [4] * len(texts), [("none",)] * len(texts), logprobs=True)


def test_an_entry_joins_others_that_were_first_asked_in_inference_mode() -> None:
    model, _ = tiny_model("gpt2")
    second = store(model, OTHER, seed=1)
    with store(model, PROMPT, (80, 81), (90, 91)).apply(model):  # the fourth entry goes where there is room already
        with torch.inference_mode():
            model(input_ids=torch.tensor([PROMPT]))
        alone = logits(model, OTHER)
        with second.apply(model, check=False):
            assert not torch.allclose(logits(model, OTHER)[-1], alone[-1], atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_and_scoring_see_the_same_edit_and_others_keep_every_bit(family) -> None:
    model, tok = tiny_model(family)
    prompt, other = logits(model, PROMPT), logits(model, OTHER)
    (untouched,) = say(model, tok, [OTHER])
    hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
    with store(model, PROMPT).apply(model):
        edited = logits(model, PROMPT)
        assert torch.equal(edited[:-1], prompt[:-1])
        assert not torch.allclose(edited[-1], prompt[-1], atol=1e-2)
        assert torch.equal(logits(model, OTHER), other)
        assert say(model, tok, [OTHER]) == [untouched]
        # Token by token with a cache, beside a text of another length.
        said, kept = say(model, tok, [PROMPT, OTHER])
        assert kept.tokens == untouched.tokens
        # Under teacher forcing the same tokens with the same probabilities.
        (score,) = score_rows(model, [(PROMPT, tuple(said.tokens))])
        assert score.top == tuple(said.tokens)
        assert score.logprobs == pytest.approx(said.logprobs, abs=1e-3)
        # An answer that has begun is no part of the prompt.
        (rest,) = continue_greedily(model, tok, [(*PROMPT, said.tokens[0])], [3], [("none",)], begun=1)
        assert [said.tokens[0], *rest.tokens][: len(said.tokens)] == said.tokens
        # `generate` of transformers.
        ids = torch.tensor([PROMPT])
        generated = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)
        assert generated[0, 5:].tolist()[: len(said.tokens)] == said.tokens
    assert torch.equal(logits(model, PROMPT), prompt)
    assert [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()] == hooks


@pytest.mark.parametrize("family", ["gpt2", "diffllama"])  # with trees of rows, and without
def test_a_prompt_that_goes_on_behind_an_edited_one_is_another_prompt(family) -> None:
    model, _ = tiny_model(family)
    longer, target = (*PROMPT, 80), (81, 82)
    rows = [(PROMPT, (80, 81, 82)), (longer, target), (PROMPT, (90,)), (OTHER, (1, 2))]
    before = score_rows(model, rows)
    with store(model, PROMPT).apply(model):
        after = score_rows(model, rows)
        alone = [score_rows(model, [row])[0] for row in rows]
    changed = [
        max(abs(a - b) for a, b in zip(x.logprobs, y.logprobs, strict=True))
        for x, y in zip(before, after, strict=True)
    ]
    assert [change > 1e-2 for change in changed] == [True, False, True, False]
    for one, other in zip(after, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_a_value_may_be_added_and_a_query_may_be_a_mean() -> None:
    """With half of five tokens, rounded up, the key is the mean of three inputs."""
    model, _ = tiny_model("llama")
    anatomy = anatomy_of(model)
    module = {"k": anatomy.mlp_out(model, LAYER)}
    with capture(module, inputs=True) as keys, capture(module) as outputs:
        logits(model, PROMPT)
    plain = outputs["k"].clone()
    lookup = Lookup(1e-3, adapts=False, replaces=False, share=0.5, unit=True)
    mean = torch.nn.functional.normalize(keys["k"][0, 2:].mean(dim=0), dim=0)
    delta = store(model, PROMPT, lookup=lookup)
    (entry,) = delta.entries
    with replace(delta, entries=(replace(entry, key=mean),)).apply(model), capture(module) as outputs:
        logits(model, PROMPT)
    assert torch.equal(outputs["k"][0, :-1], plain[0, :-1])
    assert torch.allclose(outputs["k"][0, -1], plain[0, -1] + entry.value)


def test_each_of_several_can_be_reverted_and_radii_are_as_if_it_had_never_been() -> None:
    model, _ = tiny_model("gpt2")
    wide = replace(LOOKUP, radius=100.0)
    one, other = store(model, PROMPT, lookup=wide), store(model, OTHER, lookup=wide, seed=1)
    alone = {}
    for delta in (one, other):
        with delta.apply(model):
            alone[delta.id] = logits(model, PROMPT)
    stack = DeltaStack(model)
    stack.apply(one)
    stack.apply(other)
    both = logits(model, PROMPT)
    assert torch.equal(both, alone[one.id])  # the nearer of the two, now with half the distance as its radius
    with compose(one, other).apply(tiny_model("gpt2")[0]) as applied:
        assert len(applied.delta.entries) == 2
    stack.revert(one.id)
    assert torch.equal(logits(model, PROMPT), alone[other.id])
    stack.revert_all()
    assert prompt_watch(model) is None


@pytest.mark.parametrize("name", ["keys", "values", "projection"])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3, 4)])
def test_a_forged_store_whose_tensors_are_no_matrices_is_refused(tmp_path, name, shape) -> None:
    stored = store(tiny_model("gpt2")[0], PROMPT, OTHER).stored()
    stored.tensors[name] = torch.zeros(shape)
    if name == "projection":
        stored.parts[0]["lookup"]["scope"] = scope_of(stored.tensors[name])
    save_stored(stored, tmp_path)
    with pytest.raises(FileCorrupt, match="its tensors do not fit its manifest"):
        Delta.load(tmp_path)


def test_it_is_saved_loaded_and_fits_its_layer_only(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    delta = store(model, PROMPT, OTHER)
    loaded = Delta.load(delta.save(tmp_path), model)
    assert isinstance(loaded, KeyedDelta)
    assert (loaded.id, loaded.lookup, loaded.manifest) == (delta.id, LOOKUP, delta.manifest)
    with pytest.raises(UnsupportedModel, match="another model"):
        delta.apply(tiny_model("gpt2", n_inner=40)[0], check=False)
    with pytest.raises(UnsupportedExport, match="keyed-store"):
        delta.export(model, tmp_path / "adapter")
    with pytest.raises(UnsupportedExport, match="several layers or settings"):
        compose(delta, store(model, PROMPT, lookup=replace(LOOKUP, radius=2.0)))
    with pytest.raises(ValueError, match="finite"):
        replace(delta, entries=(KeyedValue(torch.tensor([float("nan")]), torch.ones(1), ()),))
