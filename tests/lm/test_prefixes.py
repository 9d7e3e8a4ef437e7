"""Prefixes are the model's own words, the same for the same seed, and safe to put before a template."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.lm.prefixes import SEEDS, _sentence, sample_prefixes
from kgedit.lm.tokens import encode_text


@pytest.mark.parametrize("family", FAMILIES)
def test_default_is_the_bare_prompt_and_twenty_texts(family: str) -> None:
    model, tok = tiny_model(family, bos=True, tokenizer="sentencepiece")
    state = torch.random.get_rng_state()
    got = sample_prefixes(model, tok)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(got) == 21
    assert got[0] == ""
    for i, prefix in enumerate(got[1:]):
        assert prefix.startswith(SEEDS[i % 5])
        assert prefix.endswith(". ")
        assert not set("{}\n\ufffd") & set(prefix)
        assert "<s>" not in prefix
    assert got == sample_prefixes(model, tok)
    assert got != sample_prefixes(model, tok, seed=1)


def test_length_counts_the_seed_word_and_not_bos() -> None:
    """A model that knows one token only repeats it, so that the length can be read off the text."""
    model, tok = tiny_model("gpt2", bos=True)
    word = tok.convert_tokens_to_ids("Ġcapital")
    seen = []

    def only_one(module: torch.nn.Module, args: object, logits: torch.Tensor) -> torch.Tensor:
        seen.append(logits.shape)
        return torch.full_like(logits, -1e9).index_fill(-1, torch.tensor([word]), 1e9)

    model.lm_head.register_forward_hook(only_one)
    got = sample_prefixes(model, tok, lengths_and_counts=((3, 2), (6, 1)), seeds=("The",))
    assert len(encode_text(tok, "The")) == 2  # BOS and the word
    assert got == ("", "The capital capital. ", "The capital capital. ", "The" + " capital" * 5 + ". ")
    assert len(seen) == 2 + 5


def test_only_the_five_best_tokens_are_drawn_and_no_special_or_padding_token() -> None:
    model, tok = tiny_model("gpt2")
    allowed = torch.tensor(tok.convert_tokens_to_ids(["Ġis", "Ġof", "Ġthe", "Ġin", "Ġand"]))

    def prefer(module: torch.nn.Module, args: object, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.clone()
        logits[..., allowed] += 50
        logits[..., len(tok) :] += 100
        logits[..., tok.all_special_ids] += 100
        return logits

    model.lm_head.register_forward_hook(prefer)
    got = sample_prefixes(model, tok, lengths_and_counts=((8, 20),), seeds=("The",))
    words = {word for prefix in got for word in prefix.strip(" .").split()[1:]}
    assert words == {"is", "of", "the", "in", "and"}


def test_a_seed_longer_than_the_length_stays_as_it_is() -> None:
    model, tok = tiny_model("gpt2")
    assert sample_prefixes(model, tok, lengths_and_counts=((1, 1),), seeds=("The capital of",)) == (
        "",
        "The capital of. ",
    )
    assert sample_prefixes(model, tok, lengths_and_counts=()) == ("",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("The {a}\n\nb.", "The a b. "), ("I\ufffd", "I. "), ("You . .", "You. "), (" x{}y ", "x y. ")],
)
def test_texts_become_one_sentence_without_slots(text: str, sentence: str) -> None:
    assert _sentence(text) == sentence
