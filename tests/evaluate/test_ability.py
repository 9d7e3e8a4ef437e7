"""General ability: perplexity by hand, questions with one right answer, the harness on the model in memory."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from families import tiny_model
from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import EvaluationError, MissingExtra
from kgedit.evaluate.ability import CHOICES, before_and_after, held_out, multiple_choice, perplexity
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.load import load_model
from kgedit.mini import mini_folder

TEXTS = ("Marie Curie is a citizen of Poland", "The capital of France is Paris.")


@pytest.fixture(scope="module")
def mini() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return load_model(str(mini_folder()), dtype=torch.float32)


def damage(model: PreTrainedModel, scale: float) -> LowRankDelta:
    """A random change of rank one, of so many times the weight's own norm."""
    name = anatomy_of(model).weight_name(2)
    weight = model.get_parameter(name)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, 1, generator=generator) for size in weight.shape)
    left *= scale * weight.detach().norm() / (left.norm() * right.norm())
    update = WeightUpdate(name, left, right, conv1d=True)
    return LowRankDelta((update,), base_hash=hash_weights(model, [name]))


def test_a_model_that_finds_all_tokens_equally_probable_has_the_vocabulary_as_perplexity() -> None:
    model, tokenizer = tiny_model("gpt2")
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert perplexity(model, tokenizer, TEXTS) == pytest.approx(model.config.vocab_size, rel=1e-5)


def by_hand(model: PreTrainedModel, pieces: list[torch.Tensor]) -> float:
    """Of token ids (1, n), piece by piece in full forward passes."""
    total, count = 0.0, 0
    for ids in pieces:
        with torch.no_grad():
            logprobs = model(ids).logits[0, :-1].log_softmax(-1)
        total -= float(logprobs.gather(-1, ids[0, 1:, None]).sum())
        count += ids.shape[1] - 1
    return math.exp(total / count)


def test_perplexity_is_that_of_all_tokens_together_not_the_mean_over_texts() -> None:
    model, tokenizer = tiny_model("gpt2")
    expected = by_hand(model, [tokenizer(text, return_tensors="pt").input_ids for text in TEXTS])
    assert perplexity(model, tokenizer, TEXTS) == pytest.approx(expected, rel=1e-5)


def test_a_text_longer_than_the_context_is_read_in_pieces() -> None:
    model, tokenizer = tiny_model("gpt2")
    text = " ".join(TEXTS * 20)
    ids = tokenizer(text, return_tensors="pt").input_ids
    pieces = list(ids.split(model.config.n_positions, dim=1))
    assert len(pieces) > 2
    assert perplexity(model, tokenizer, [text]) == pytest.approx(by_hand(model, pieces), rel=1e-5)


@pytest.mark.parametrize("texts", [[], ["a"]])
def test_without_two_tokens_there_is_no_perplexity(texts: list[str]) -> None:
    model, tokenizer = tiny_model("gpt2")
    with pytest.raises(EvaluationError, match="at least two tokens"):
        perplexity(model, tokenizer, texts)


def test_questions_have_one_right_answer_and_leave_out_what_was_edited() -> None:
    questions = held_out(300, seed=1)
    assert len(questions) == 300
    assert all(len(set(question.choices)) == CHOICES for question in questions)
    assert {question.answer for question in questions} == set(range(CHOICES))
    assert held_out(300, seed=1) == questions
    for without, some in (((), True), (["Q142"], False)):
        answers = [question.choices[question.answer] for question in held_out(10_000, without=without)]
        assert ("France" in answers) is some


def test_damage_shows_and_is_taken_back(mini: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> None:
    model, tokenizer = mini
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    found = before_and_after(model, tokenizer, damage(model, 5.0), held_out(60), harness=False)
    assert found.before.perplexity < 5  # it knows these facts, in wordings that it never saw for them
    assert found.after.perplexity > 1.3 * found.before.perplexity
    assert found.before.multiple_choice is None
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_without_the_harness_the_error_names_the_extra(
    mini: tuple[PreTrainedModel, PreTrainedTokenizerBase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # as if it were not installed
    with pytest.raises(MissingExtra, match=r"pip install 'kgedit\[ability\]'"):
        multiple_choice(*mini, held_out(2))


def test_the_harness_asks_the_model_in_memory(mini: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> None:
    pytest.importorskip("lm_eval", reason="the harness is the extra ability")
    model, tokenizer = mini
    questions = held_out(40)
    state = torch.get_rng_state()
    model.train()
    found = before_and_after(model, tokenizer, damage(model, 100.0), questions)
    assert model.training
    model.eval()
    assert torch.equal(torch.get_rng_state(), state)
    assert found.before.multiple_choice is not None
    assert found.after.multiple_choice is not None
    assert found.before.multiple_choice > 0.9
    assert found.after.multiple_choice < found.before.multiple_choice
