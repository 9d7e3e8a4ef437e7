"""Scores: one verdict per probe, each in its measure, by exact match; shares are means over cases."""

from __future__ import annotations

import random

import pytest
import torch

from families import tiny_model
from kgedit.edit import Edit
from kgedit.evaluate.bundled.probes import score_case, shares
from kgedit.lm.load import load_model
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.mini import mini_folder
from kgedit.mini.cases import MEASURES, Casebook, MiniCase

EMPTY = dict.fromkeys(MEASURES, ())


def test_the_unedited_model_gives_old_answers_and_keeps_the_rest() -> None:
    """It knows its facts, so what must change fails and what must stay holds."""
    model, tokenizer = load_model(str(mini_folder()), dtype=torch.float32)
    case = Casebook().named("Q937", "P27", "Q142")
    scores = score_case(model, tokenizer, case)
    assert {name: len(verdicts) for name, verdicts in scores.items()} == {
        name: len(pairs) for name, pairs in case.probes.items()
    }
    assert scores["efficacy"] == (False,)
    assert not any(scores["paraphrase"])
    assert not any(scores["portability"])
    assert all(scores["neighborhood"])
    assert all(scores["subject_specificity"])


def test_each_verdict_is_the_one_of_its_own_probe() -> None:
    """Measures share batches; whatever their order, each gets its own answers back."""
    model, tokenizer = load_model(str(mini_folder()), dtype=torch.float32)
    book, rng = Casebook(), random.Random(2)
    facts = rng.sample(book.facts, 14)
    pairs = []
    for number, fact in enumerate(facts):
        wrong = number % 3 == 0
        answer = book.labels[facts[number - 1].object if wrong else fact.object]
        pairs.append((book.text[fact.relation].cloze[0].replace("{}", book.labels[fact.subject]), answer))
    probes = {
        "neighborhood": tuple(pairs[:1]),
        "efficacy": tuple(pairs[1:6]),
        "portability": (),
        "paraphrase": tuple(pairs[6:8]),
        "subject_specificity": tuple(pairs[8:]),
    }
    case = MiniCase(Edit(subject="Q1", relation="P27", target_new="Q2"), "s", "new", "old", probes)
    scores = score_case(model, tokenizer, case)
    for name, asked in probes.items():
        assert scores[name] == tuple(exact_answers(model, tokenizer, list(asked)) if asked else []), name
    verdicts = [
        verdict
        for name in ("neighborhood", "efficacy", "paraphrase", "subject_specificity")
        for verdict in scores[name]
    ]
    assert True in verdicts
    assert False in verdicts


def test_scoring_leaves_the_model_alone() -> None:
    model, tokenizer = tiny_model("gpt2")
    model.train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    score_case(model, tokenizer, Casebook().named("Q937", "P27", "Q142"))
    assert model.training
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_shares_weigh_cases_not_probes() -> None:
    scored = [
        {**EMPTY, "efficacy": (True,), "paraphrase": (True, True, False, False)},
        {**EMPTY, "efficacy": (False,), "paraphrase": (True,)},
    ]
    found = shares(scored)
    assert found["efficacy"] == 0.5
    assert found["paraphrase"] == pytest.approx(0.75), "the mean of 1/2 and 1, not 3/5"
    assert found.keys() == set(MEASURES)


def test_a_case_without_probes_of_a_measure_does_not_count_there() -> None:
    found = shares([{**EMPTY, "portability": (True,)}, EMPTY])
    assert found["portability"] == 1.0
    assert found["neighborhood"] == 0.0
