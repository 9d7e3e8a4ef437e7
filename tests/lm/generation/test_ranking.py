"""Whole answers are ranked by the probability of the tokens that spell them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from families import tiny_model
from kgedit.lm.generation.greedy import continue_greedily
from kgedit.lm.generation.ranking import top_answers
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_target, encode_text


def test_answers_are_different_and_the_first_is_at_least_as_probable_as_its_tokens() -> None:
    model, tok = tiny_model("gpt2")
    prompt = "The capital is"
    answers = top_answers(model, tok, prompt, 3, max_new_tokens=1, stop=())
    ids = encode_text(tok, prompt)
    [likeliest] = continue_greedily(model, tok, [ids], [1], [()])
    assert answers[0][1] >= score_rows(model, [(ids, likeliest.tokens)])[0].joint_probability * (1 - 1e-5)
    assert len({text for text, _ in answers}) == len(answers) == 3
    assert [p for _, p in answers] == sorted((p for _, p in answers), reverse=True)
    assert 0 < sum(p for _, p in answers) <= 1


def test_an_answer_ends_before_the_stop_and_the_stop_does_not_count() -> None:
    model, tok = tiny_model("gpt2")
    answer = encode_target(tok, "of the")
    script = [*answer, *encode_target(tok, "x.")[-1:]]
    assert tok.decode(script).strip() == "of the."

    def scripted(module: torch.nn.Module, args: object, logits: Tensor) -> Tensor:
        step = min(len(steps), len(script) - 1)
        steps.append(step)
        told = torch.zeros_like(logits)
        told[..., script[step]] = 5.0
        return told

    steps: list[int] = []
    handle = model.lm_head.register_forward_hook(scripted)
    (text, probability), *_ = top_answers(model, tok, "The capital is", 1, stop=(".",))
    handle.remove()
    share = math.exp(5) / (math.exp(5) + model.config.vocab_size - 1)
    assert text == "of the"
    assert probability == pytest.approx(share ** len(answer), rel=1e-4)


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


def test_what_is_said_behind_the_name_does_not_make_it_less_probable() -> None:
    model, tok = tiny_model("gpt2")
    first = {"ĠFrance": 0.9, "Ġof": 0.1}
    later = {"Ġand": 0.2, "Ġis": 0.2, "Ġin": 0.2, "Ġof": 0.2, "Ġborn": 0.2}
    steps = []

    def scripted(module: torch.nn.Module, args: object, logits: Tensor) -> Tensor:
        told = torch.full_like(logits, -1e9)
        for token, p in (later if steps else first).items():
            told[..., tok.convert_tokens_to_ids(token)] = math.log(p)
        steps.append(logits)
        return told

    model.lm_head.register_forward_hook(scripted)
    answers = top_answers(model, tok, "The capital", 2, stop=("\n",), answer_of=lambda text: text.split()[0])
    assert answers == [("France", pytest.approx(0.9)), ("of", pytest.approx(0.1))]
