"""Sampling is repeatable, independent of batches, and draws from the k most probable tokens as they are weighted."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from families import CONTEXT, tiny_model
from kgedit.lm.generation.sampling import choose_top_k, place_of, sample_texts
from kgedit.lm.tokens import encode_text

PROMPTS = ["The capital of France is", "Marie Curie", "The capital of France is"]


def test_same_seed_same_texts_whatever_the_batch() -> None:
    model, tok = tiny_model("gpt2")
    state = torch.random.get_rng_state()
    texts = sample_texts(model, tok, PROMPTS, max_tokens=25)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sample_texts(model, tok, PROMPTS, max_tokens=25, batch_size=1) == texts
    assert sample_texts(model, tok, PROMPTS[1:2], max_tokens=25) == texts[1:2]
    assert sample_texts(model, tok, PROMPTS, max_tokens=25, seed=1) != texts
    assert texts[0] != texts[2]  # the same prompt asked twice is drawn twice
    assert all(text.startswith(prompt) for text, prompt in zip(texts, PROMPTS, strict=True))


def test_each_token_is_among_the_k_most_probable() -> None:
    model, tok = tiny_model("llama")
    [text] = sample_texts(model, tok, ["Marie Curie"], max_tokens=12, top_k=1)
    ids = list(encode_text(tok, "Marie Curie"))
    with torch.no_grad():
        while len(ids) < 12:
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1, : len(tok)].argmax()))
    assert text == tok.decode(ids, skip_special_tokens=True)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([[0.1, 0.5, 0.0, 0.4, 9.0]]).log().repeat(1000, 1)  # the last is no token of the tokenizer
    uniform = [(i + 0.5) / 1000 for i in range(1000)]
    drawn = Counter(choose_top_k(logits, 2, 4, place_of(uniform)).tolist())
    assert drawn == {1: 556, 3: 444}  # 5/9 and 4/9
    assert choose_top_k(logits[:2], 9, 4, place_of([0.0, 1 - 2**-53])).tolist() == [1, 0]


@pytest.mark.parametrize("max_tokens", [3, 40, 1000])
def test_the_length_counts_the_prompt_and_ends_with_the_context(max_tokens: int) -> None:
    model, tok = tiny_model("gpt2")
    lengths = []
    decode = type(tok).decode

    def counting(self: object, ids: list[int], **options: object) -> str:
        lengths.append(len(ids))
        return decode(self, ids, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(tok), "decode", counting)
        texts = sample_texts(model, tok, ["Marie Curie", "He was born in 1909 in the city of"], max_tokens=max_tokens)
    prompts = [len(encode_text(tok, text)) for text in ("Marie Curie", "He was born in 1909 in the city of")]
    assert lengths == [max(prompt, min(max_tokens, CONTEXT)) for prompt in prompts]
    assert all(texts)
