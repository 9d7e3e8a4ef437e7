"""Scores equal a plain forward of each row alone; greedy answers equal decoding without a cache."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from families import CONTEXT, FAMILIES, tiny_model
from kgedit.errors import PromptError, TargetError
from kgedit.lm.scoring.score import continue_rows, greedy, greedy_match, target_logprobs, top_answers
from kgedit.lm.tokens import encode_target, encode_text

ROWS = [((5, 9, 30, 11, 8, 40, 41, 42), (7,)), ((6,), (12, 13, 14)), ((9, 9, 9), (20, 5))]
PROMPTS = ["The capital of France is", "Marie Curie", "He was born in 1909 in the city of"]


def _alone(model: PreTrainedModel, prompt: tuple[int, ...], target: tuple[int, ...]) -> Tensor:
    """Log-probabilities from one unpadded forward over prompt and target, head at every position."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *target]])).logits[0]
    logps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return logps[range(len(target)), target]


def _step_by_step(model: PreTrainedModel, ids: tuple[int, ...], steps: int) -> list[int]:
    ids = list(ids)
    with torch.no_grad():
        for _ in range(steps):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-steps:]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_logprobs_equal_those_of_each_row_alone(family: str, batch_size: int) -> None:
    model, _ = tiny_model(family)
    got = target_logprobs(model, ROWS, batch_size=batch_size)
    for row, logps in zip(ROWS, got, strict=True):
        assert logps.dtype == torch.float32
        torch.testing.assert_close(logps, _alone(model, *row), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_decoding_and_greedy_match_agree(family: str) -> None:
    model, tok = tiny_model(family, bos=True, tokenizer="sentencepiece")
    ids = [encode_text(tok, prompt) for prompt in PROMPTS]
    tok.eos_token = None
    answers = continue_rows(model, tok, ids, max_new_tokens=8, stop=())
    expected = [_step_by_step(model, row, 8) for row in ids]
    assert [new for new, _ in answers] == expected
    for row, (new, logps) in zip(ids, answers, strict=True):
        torch.testing.assert_close(torch.tensor(logps), _alone(model, row, tuple(new)), rtol=1e-4, atol=1e-4)

    rows = [(row, new) for row, new in zip(ids, expected, strict=True)]
    wrong = [(row, [*new[:4], (new[4] + 1) % 400, *new[5:]]) for row, new in rows]
    assert greedy_match(model, [*rows, *wrong], batch_size=2) == [True] * 3 + [False] * 3


def _speaking(text: str, prompt: str) -> tuple[PreTrainedModel, object]:
    """A model made to continue the prompt with a text, by training its weights on that one sentence."""
    model, tok = tiny_model("gpt2", tokenizer="bytelevel")
    ids = torch.tensor([[*encode_text(tok, prompt), *encode_target(tok, text)]])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids[:, :-1]).logits[0], ids[0, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, tok


def test_answers_end_before_the_stop() -> None:
    model, tok = _speaking("Paris, and Rome. It is\nold.", "The capital is")
    prompt = ["The capital is", "The capital is "]
    assert greedy(model, tok, prompt) == ["Paris, and Rome"] * 2
    assert greedy(model, tok, prompt[:1], stop=(",",)) == ["Paris"]
    assert greedy(model, tok, prompt[:1], stop=("\n",)) == ["Paris, and Rome. It is"]
    assert len(encode_target(tok, greedy(model, tok, prompt[:1], max_new_tokens=2)[0])) == 2
    assert greedy(model, tok, prompt[:1], max_new_tokens=0) == [""]

    answers = top_answers(model, tok, "The capital is", 3)
    assert answers[0][0] == "Paris, and Rome"
    ids = encode_text(tok, "The capital is"), encode_target(tok, "Paris, and Rome")
    assert answers[0][1] == pytest.approx(math.exp(target_logprobs(model, [ids])[0].sum()), rel=1e-4)
    assert len({text for text, _ in answers}) == len(answers)
    assert [p for _, p in answers] == sorted((p for _, p in answers), reverse=True)
    assert sum(p for _, p in answers) <= 1


def test_end_of_text_ends_an_answer() -> None:
    model, tok = tiny_model("gpt2")
    with torch.no_grad():
        ids = encode_text(tok, PROMPTS[0])
        third = _step_by_step(model, ids, 3)[2]
    tok.eos_token = tok.convert_ids_to_tokens(third)
    [(new, _)] = continue_rows(model, tok, [ids], max_new_tokens=8, stop=())
    assert new[-1] == third
    assert len(new) <= 3


def test_model_and_flags_are_as_before_and_dropout_is_off() -> None:
    model, tok = tiny_model("gpt2", resid_pdrop=0.5)
    model.train()
    first = target_logprobs(model, ROWS)
    again = target_logprobs(model, ROWS)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    greedy(model, tok, PROMPTS, max_new_tokens=2)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_half_precision_scores_are_float32() -> None:
    model, _ = tiny_model("llama")
    exact = target_logprobs(model, ROWS)
    model.to(torch.bfloat16)
    rough = target_logprobs(model, ROWS)
    assert all(row.dtype == torch.float32 for row in rough)
    for a, b in zip(exact, rough, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.3)


def test_empty_and_overlong_input_is_refused() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(PromptError, match="no token"):
        target_logprobs(model, [((), (5,))])
    with pytest.raises(TargetError, match="no token"):
        greedy_match(model, [((5,), ())])
    with pytest.raises(PromptError, match="no token"):
        greedy(model, tok, [""])
    with pytest.raises(PromptError, match=f"context of {CONTEXT} tokens"):
        target_logprobs(model, [([5] * CONTEXT, (5, 6))])
    assert len(target_logprobs(model, [([5] * CONTEXT, (5,))])[0]) == 1
    with pytest.raises(PromptError, match=f"context of {CONTEXT} tokens"):
        greedy(model, tok, ["is" * 200])
    assert target_logprobs(model, []) == greedy(model, tok, []) == []


def test_an_answer_stops_where_the_context_ends() -> None:
    model, tok = tiny_model("gpt2")
    tok.eos_token = None
    [(new, _)] = continue_rows(model, tok, [[5] * (CONTEXT - 3)], max_new_tokens=8, stop=())
    assert len(new) == 3


def test_an_answer_spelled_in_two_ways_counts_once_with_both_probabilities() -> None:
    model, tok = tiny_model("gpt2")
    first = {"is": 0.5, "Ġis": 0.3, "Ġof": 0.15, ".": 0.05}
    steps = []

    def scripted(module: torch.nn.Module, args: object, logits: Tensor) -> Tensor:
        steps.append(logits)
        chosen = first if len(steps) == 1 else {".": 1.0}
        told = torch.full_like(logits, -1e9)
        for token, p in chosen.items():
            told[..., tok.convert_tokens_to_ids(token)] = math.log(p)
        return told

    model.lm_head.register_forward_hook(scripted)
    answers = top_answers(model, tok, "The capital", 2)
    assert [text for text, _ in answers] == ["is", "of"]
    assert [p for _, p in answers] == pytest.approx([0.8, 0.15])
