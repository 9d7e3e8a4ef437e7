"""Facts in context are read before every text: the model says what it says of the facts and the text written out."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import Delta, DeltaStack, compose, hash_weights
from kgedit.delta.in_context import InContextDelta, tokens_read_first
from kgedit.errors import PromptError, UnsupportedExport, WrongBase
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.generation.greedy import continue_greedily
from kgedit.lm.scoring.teacher_forced import score_rows

FACTS = ((40, 41, 42), (50, 51, 52, 53))
TEXT, OTHER = (60, 61, 62, 63, 64), (70, 71)  # padding between facts and text counts in a sliding window


def of(model, *facts, begin=(7,), end=(9, 10), demonstrations=()) -> InContextDelta:
    name = anatomy_of(model).weight_name(0)
    return InContextDelta(name, begin, demonstrations, facts, end, hash_weights(model, [name]), {"method": "by hand"})


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_reads_the_facts_before_the_text_and_forgets_them(family) -> None:
    model, tok = tiny_model(family)
    read = (7, *FACTS[0], *FACTS[1], 9, 10)
    expected = logits(model, (*read, *TEXT))[len(read) :]
    before, hooks = logits(model, TEXT), [len(module._forward_pre_hooks) for module in model.modules()]
    texts = [TEXT] if getattr(model.config, "sliding_window", None) else [TEXT, OTHER]
    asked = ([4] * len(texts), [("none",)] * len(texts))
    written = continue_greedily(model, tok, [(*read, *text) for text in texts], *asked)
    scored = score_rows(model, [((*read, *TEXT), (80, 81))])
    stack = DeltaStack(model)
    first, second = (stack.apply(of(model, fact)) for fact in FACTS)
    assert torch.allclose(logits(model, TEXT), expected, atol=1e-4)
    # Rows of different lengths, several steps, with a cache; and the pass over a target that is given.
    said = continue_greedily(model, tok, texts, *asked)
    assert [row.tokens for row in said] == [row.tokens for row in written]
    assert score_rows(model, [(TEXT, (80, 81))])[0].logprobs == pytest.approx(scored[0].logprobs, abs=1e-4)
    generated = model.generate(
        torch.tensor([TEXT]), attention_mask=torch.ones(1, 5), max_new_tokens=4, do_sample=False, eos_token_id=None
    )
    assert generated[0, 5:].tolist()[: len(written[0].tokens)] == written[0].tokens
    assert context_length(model) == 128 - len(read)
    stack.revert(first)
    assert tokens_read_first(model) == 3 + len(FACTS[1])
    stack.revert(second)
    assert torch.equal(logits(model, TEXT), before)
    assert [len(module._forward_pre_hooks) for module in model.modules()] == hooks


def test_what_is_read_follows_later_changes_of_the_weights() -> None:
    model, _ = tiny_model("llama")
    read = (7, *FACTS[0], 9, 10)
    with of(model, FACTS[0]).apply(model), torch.no_grad():
        logits(model, TEXT)
        anatomy_of(model).weight(model, 1).mul_(1.5)
        changed = logits(model, TEXT)
    assert torch.allclose(changed, logits(model, (*read, *TEXT))[len(read) :], atol=1e-4)


def test_demonstrations_come_once_before_all_facts() -> None:
    model, _ = tiny_model("gpt2")
    shown, further = (20, 21), (22, 23)
    one = of(model, FACTS[0], demonstrations=(shown, further))
    other = of(model, FACTS[1], demonstrations=(further,))
    expected = (7, *shown, *further, *FACTS[0], *FACTS[1], 9, 10)
    with one.apply(model), other.apply(model):
        both = logits(model, TEXT)
    assert torch.allclose(both, logits(model, (*expected, *TEXT))[len(expected) :], atol=1e-4)
    with compose(one, other).apply(model):
        assert torch.equal(logits(model, TEXT), both)


def test_it_is_saved_loaded_and_bound_to_its_model_and_no_adapter(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    delta = of(model, *FACTS)
    loaded = Delta.load(delta.save(tmp_path), model)
    assert isinstance(loaded, InContextDelta)
    assert (loaded.id, loaded.facts, loaded.manifest) == (delta.id, FACTS, delta.manifest)
    with pytest.raises(WrongBase):
        Delta.load(tmp_path, tiny_model("gpt2", seed=1)[0])
    with pytest.raises(UnsupportedExport, match="in-context"):
        delta.export(model, tmp_path / "adapter")


def test_facts_that_do_not_fit_are_refused_and_leave_no_trace() -> None:
    model, _ = tiny_model("gpt2")
    before = logits(model, TEXT)
    stack = DeltaStack(model)
    stack.apply(of(model, tuple(range(60))))
    with pytest.raises(PromptError, match="125 of the 128 tokens"):
        stack.apply(of(model, tuple(range(62))))
    assert len(stack.ids) == 1
    stack.revert_all()
    assert torch.equal(logits(model, TEXT), before)
    with pytest.raises(ValueError, match="at least one fact"):
        of(model)
