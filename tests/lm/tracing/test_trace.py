"""The maps of a prompt: their shape, what is fixed by hand, and what is refused."""

from __future__ import annotations

import pytest

from families import LAYERS, D, tiny_model
from kgedit.errors import TracingError
from kgedit.lm.tokens import encode_prompt
from kgedit.lm.tracing.corrupted import CorruptedPrompt
from kgedit.lm.tracing.noise import draw_noise
from kgedit.lm.tracing.trace import KINDS, trace, window_of


def test_the_map_holds_every_token_and_layer_and_agrees_with_single_runs() -> None:
    model, tokenizer = tiny_model("llama")
    prompt = encode_prompt(tokenizer, "Therefore {} works in the field of", "Marie Curie")
    subject = prompt.subject_last - prompt.subject_first + 1
    traced = trace(model, tokenizer, prompt, noise=2.0, samples=60, seed=3, window=2)
    assert traced is not None
    assert set(traced.effects) == set(KINDS)
    run = CorruptedPrompt(model, prompt, draw_noise(2.0, 60, subject, D, seed=3))
    for kind in KINDS:
        assert len(traced.effects[kind]) == len(traced.tokens) == len(prompt.ids)
        assert all(len(values) == LAYERS for values in traced.effects[kind])
        assert set(traced.effects[kind][prompt.subject_first - 1]) == {0.0}
    (whole,) = run.restore_states(1, [[subject - 1]])
    assert traced.effects["state"][prompt.subject_last][1] == pytest.approx(whole - run.corrupted, abs=1e-6)
    (part,) = run.restore_parts("mlp", range(1, 3), [[subject]])
    assert traced.effects["mlp"][prompt.subject_last + 1][2] == pytest.approx(part - run.corrupted, abs=1e-6)
    # In the last layer nothing but the last token's state reaches the answer, and it gives the clean run.
    last_layer = [values[-1] for values in traced.effects["state"]]
    assert last_layer[-1] == pytest.approx(traced.clean - traced.corrupted, rel=1e-4)
    assert last_layer[:-1] == pytest.approx([0.0] * (len(last_layer) - 1), abs=1e-6)
    assert traced.severed["mlp"][-1] == pytest.approx(0.0, abs=1e-6)


def test_a_prompt_with_another_answer_is_left_out() -> None:
    model, tokenizer = tiny_model("llama")
    prompt = encode_prompt(tokenizer, "{} works in the field of", "Marie Curie")
    traced = trace(model, tokenizer, prompt, noise=2.0, samples=1, seed=0, kinds=(), severed=False)
    assert traced is not None
    right = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(traced.answer))[0]
    wrong = (right + 1) % len(tokenizer)
    assert trace(model, tokenizer, prompt, noise=2.0, samples=1, seed=0, kinds=(), answer=wrong) is None


@pytest.mark.parametrize(("samples", "window"), [(0, 10), (1, 0), (-1, 1)])
def test_no_samples_or_no_window_is_refused(samples: int, window: int) -> None:
    model, tokenizer = tiny_model("llama")
    prompt = encode_prompt(tokenizer, "{} works in the field of", "Marie Curie")
    with pytest.raises(TracingError, match="must be at least 1"):
        trace(model, tokenizer, prompt, noise=2.0, samples=samples, seed=0, window=window)


def test_the_window_lies_around_its_layer_and_ends_with_the_model() -> None:
    assert window_of(20, 10, 48) == range(15, 25)
    assert window_of(0, 10, 48) == range(5)
    assert window_of(47, 10, 48) == range(42, 48)
    assert window_of(1, 1, 3) == range(1, 2)
