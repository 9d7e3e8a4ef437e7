"""Scores of training texts against gradients taken by torch, text by text."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from families import tiny_model
from kgedit.attribution import AttributionSettings, ModelCheckpoint, Question, attribute
from kgedit.errors import DataError, EvaluationError, NoSuchLayer, UnsupportedModel
from kgedit.lm.anatomy import anatomy_of
from methods.benches import state_of

TEXTS = [
    "The capital of France is Paris.",
    "T",
    "Marie Curie works in the field of physics, and she was born in Poland.",
    "The capital of Japan is Tokyo.",
]
QUESTIONS = [Question("The capital of France is", "Paris"), Question("Marie Curie works in the field of", "physics")]
GRADIENTS = AttributionSettings(scores=("tracin", "cosine"), layers=(0, 2), batch_tokens=24)


def gradient_of(model, prompt, wanted, layers):
    """The gradient of the mean log-probability of the wanted tokens, flat."""
    ids = torch.tensor([[*prompt, *wanted]])
    scores = model(ids).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    weights = [anatomy_of(model).weight(model, layer) for layer in layers]
    mean = scores.gather(1, torch.tensor(wanted)[:, None]).mean()
    return torch.cat([part.flatten() for part in torch.autograd.grad(mean, weights)])


@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_scores_are_products_of_gradients(family) -> None:
    model, tokenizer = tiny_model(family)
    before = state_of(model)
    found = attribute(model, tokenizer, TEXTS, QUESTIONS, GRADIENTS)
    assert state_of(model) == before
    for question, scored in zip(QUESTIONS, found, strict=True):
        prompt, answer = (tokenizer(part)["input_ids"] for part in (question.prompt, f" {question.answer}"))
        wanted = gradient_of(model, prompt, answer, (0, 2))
        for number, text in enumerate(TEXTS):
            if number == 1:  # one token, which nothing predicts
                assert scored.scores["tracin"][number] == scored.scores["cosine"][number] == 0.0
                continue
            first, *rest = tokenizer(text)["input_ids"]
            given = gradient_of(model, [first], rest, (0, 2))
            assert scored.scores["tracin"][number] == pytest.approx(float(wanted @ given), rel=2e-3, abs=1e-5)
            close = cosine_similarity(wanted, given, dim=0)
            assert scored.scores["cosine"][number] == pytest.approx(float(close), abs=1e-4)


def test_checkpoints_are_summed_with_their_rates() -> None:
    model, tokenizer = tiny_model("gpt2")
    earlier, _ = tiny_model("gpt2", seed=1)
    alone = [attribute(one, tokenizer, TEXTS, QUESTIONS[:1], GRADIENTS)[0] for one in (model, earlier)]
    (both,) = attribute(
        model,
        tokenizer,
        TEXTS,
        QUESTIONS[:1],
        GRADIENTS,
        checkpoints=(ModelCheckpoint(one, rate) for one, rate in ((earlier, 0.5), (model, 2.0))),
    )
    expected = [2 * late + early / 2 for late, early in zip(*(one.scores["tracin"] for one in alone), strict=True)]
    assert both.scores["tracin"] == pytest.approx(expected, rel=1e-4)
    assert both.scores["cosine"] == alone[0].scores["cosine"]


def test_every_score_finds_the_text_that_was_learned() -> None:
    model, tokenizer = tiny_model("gpt2")
    ids = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    settings = AttributionSettings(iterations=40)
    told: list[tuple[str, int, int]] = []
    found, again = (
        attribute(model, tokenizer, TEXTS, QUESTIONS[:1], settings, progress=lambda *args: told.append(args))[0]
        for _ in range(2)
    )
    assert found == again
    assert found.layers == (0, 1, 2)
    for score in settings.scores:
        assert found.best(score, 1) == [0], score
        assert found.ranks(score)[0] == 1
    assert found.residual is not None
    assert found.residual < 0.5
    assert all(0 <= done <= total for _, done, total in told)
    assert {"gradients of texts", "conjugate gradients", "eigenvalues, texts"} <= {what for what, _, _ in told}


def test_half_precision_gives_nearly_the_same() -> None:
    model, tokenizer = tiny_model("llama")
    exact = attribute(model, tokenizer, TEXTS, QUESTIONS[:1])[0]
    rounded = attribute(model.bfloat16(), tokenizer, TEXTS, QUESTIONS[:1])[0]
    assert rounded.scores["cosine"] == pytest.approx(exact.scores["cosine"], abs=0.05)
    assert all(score == score for scores in rounded.scores.values() for score in scores)


def test_what_cannot_be_attributed_is_told() -> None:
    model, tokenizer = tiny_model("gpt2")
    with pytest.raises(DataError, match="two tokens"):
        attribute(model, tokenizer, ["T", ""], QUESTIONS)
    other, _ = tiny_model("llama")
    with pytest.raises(UnsupportedModel, match="checkpoint 1"):
        attribute(model, tokenizer, TEXTS, QUESTIONS, GRADIENTS, checkpoints=[ModelCheckpoint(other, 1.0)])
    with pytest.raises(NoSuchLayer, match="layer 7"):
        attribute(model, tokenizer, TEXTS, QUESTIONS, AttributionSettings(layers=(7,)))
    with torch.no_grad():
        anatomy_of(model).weight(model, 1).mul_(float("nan"))
    with pytest.raises(EvaluationError, match="not finite"):
        attribute(model, tokenizer, TEXTS, QUESTIONS, GRADIENTS)
    assert attribute(model, tokenizer, TEXTS, []) == []
