"""Prefixes are the model's own words, the same for the same seed, and safe to put before a template."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.lm.prefixes import SEEDS, PrefixPlan, _sentence, sample_prefixes
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
    got = sample_prefixes(model, tok, PrefixPlan(((3, 2), (6, 1)), ("The",)))
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
    got = sample_prefixes(model, tok, PrefixPlan(((8, 20),), ("The",)))
    words = {word for prefix in got for word in prefix.strip(" .").split()[1:]}
    assert words == {"is", "of", "the", "in", "and"}


def test_a_seed_longer_than_the_length_stays_as_it_is() -> None:
    model, tok = tiny_model("gpt2")
    assert sample_prefixes(model, tok, PrefixPlan(((1, 1),), ("The capital of",))) == (
        "",
        "The capital of. ",
    )
    assert sample_prefixes(model, tok, PrefixPlan(())) == ("",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("The {a}\n\nb.", "The a b. "), ("I\ufffd", "I. "), ("You . .", "You. "), (" x{}y ", "x y. ")],
)
def test_texts_become_one_sentence_without_slots(text: str, sentence: str) -> None:
    assert _sentence(text) == sentence


def test_published_prefixes_begin_with_the_begin_of_text_token_and_count_it() -> None:
    """Meng et al. (2022): 10 of 5 tokens and 10 of 10, the begin-of-text token among them; it is no text."""
    model, tok = tiny_model("gpt2", bos=True)
    word, seen = tok.convert_tokens_to_ids("Ġcapital"), []

    def only_one(module: torch.nn.Module, args: object, logits: torch.Tensor) -> torch.Tensor:
        seen.append(logits.shape)
        return torch.full_like(logits, -1e9).index_fill(-1, torch.tensor([word]), 1e9)

    model.lm_head.register_forward_hook(only_one)
    model.register_forward_pre_hook(lambda m, args, kwargs: starts.append(kwargs["input_ids"][:, 0]), with_kwargs=True)
    starts: list[torch.Tensor] = []
    got = sample_prefixes(model, tok, PrefixPlan(((5, 2), (1, 1)), ()))
    assert got == ("", "capital capital capital capital. ", "capital capital capital capital. ", "capital. ")
    assert starts[0].tolist() == [tok.bos_token_id] * 2


def test_a_tokenizer_without_a_begin_token_takes_the_words() -> None:
    model, tok = tiny_model("gpt2")
    tok.bos_token = None
    plan = PrefixPlan(((5, 3),), ())
    assert sample_prefixes(model, tok, plan) == sample_prefixes(model, tok, plan._replace(seeds=SEEDS))


def test_a_plan_is_written_as_lengths_times_counts() -> None:
    assert PrefixPlan.parse("5x10+10x10", SEEDS) == PrefixPlan()
    assert PrefixPlan.parse("10x5", ()) == PrefixPlan(((10, 5),), ())
    assert PrefixPlan.parse("", SEEDS).lengths_and_counts == ()
