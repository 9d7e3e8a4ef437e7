"""LocFT-BF ("locft"): passes over all edits, by a plain loop; what is satisfied is skipped; facts are kept by KL."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from families import FAMILIES, tiny_model
from kgedit.delta import DeltaStack, LowRankDelta
from kgedit.errors import EditDiverged, NoSuchLayer, TargetError
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.methods.base import Request
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.locft.config import LocftConfig
from kgedit.methods.locft.method import Locft
from methods.benches import REQUESTS, bench, state_of

CASE = [(request, None) for request in REQUESTS]


def config(**kwargs: Any) -> LocftConfig:
    return LocftConfig(**{"layer": 1, "epochs": 3, "learning_rate": 1e-3, **kwargs})


def rows_of(tok: Any, requests: Any) -> list[tuple[list[int], list[int]]]:
    """Prompt ids, and the target's with the end of text behind them, encoded as running text."""
    rows = []
    for request in requests:
        prompt = tok(request.prompt.replace("{}", request.subject))["input_ids"]
        target = tok(f"is {request.target}")["input_ids"][len(tok("is")["input_ids"]) :]
        rows.append((prompt, [*target, tok.eos_token_id]))
    return rows


@pytest.mark.parametrize("mean", ["text", "token"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_change_is_that_of_a_plain_loop_over_all_edits(family, mean) -> None:
    """One batch a pass, in double precision: torch's own Adam on a copy of the model, row by row."""
    model, tok = tiny_model(family)
    model.double()
    trained = copy.deepcopy(model).requires_grad_(False)
    weight = anatomy_of(trained).weight(trained, 1).requires_grad_(True)
    first = weight.detach().clone()
    adam = torch.optim.Adam([weight], lr=1e-3)
    losses = []
    for _ in range(3):
        per_row = []
        for prompt, target in rows_of(tok, REQUESTS):
            logits = trained(input_ids=torch.tensor([prompt + target[:-1]])).logits[0, len(prompt) - 1 :]
            per_row.append(F.cross_entropy(logits, torch.tensor(target), reduction="none"))
        loss = torch.cat(per_row).mean() if mean == "token" else torch.stack([row.mean() for row in per_row]).mean()
        losses.append(float(loss.detach()))
        adam.zero_grad()
        loss.backward()
        adam.step()
    expected = to_math(weight.detach() - first, anatomy_of(model).conv1d)
    (computed,) = Locft(config(mean=mean)).together(bench(model, tok, ()), [CASE])
    assert computed.log["losses"] == pytest.approx(losses, rel=1e-9)
    assert float((computed.delta.updates[0].dense().double() - expected).abs().max()) < 1e-8
    assert float(expected.abs().max()) > 1e-3


def answers(model: Any, tok: Any) -> list[bool]:
    """Whether each edit's target and the end of text are the model's own greedy continuation."""
    right = []
    for prompt, target in rows_of(tok, REQUESTS):
        ids = model.generate(
            torch.tensor([prompt]), max_new_tokens=len(target) + 2, do_sample=False, pad_token_id=tok.eos_token_id
        )
        right.append(ids[0, len(prompt) :].tolist() == target)
    return right


def test_all_edits_are_answered_and_the_answer_stops_by_itself() -> None:
    """Breadth-first; depth-first, the same number of steps forgets what it trained first."""
    model, tok = tiny_model("gpt2")
    settings = {"epochs": 80, "learning_rate": 2e-2, "rows": 4}
    (broad,) = Locft(config(**settings)).together(bench(model, tok, ()), [CASE])
    with broad.delta.apply(model):
        assert answers(model, tok) == [True] * len(CASE)
    (deep,) = Locft(config(**settings, order="depth-first")).together(bench(model, tok, ()), [CASE])
    with deep.delta.apply(model):
        right = answers(model, tok)
    assert right[-1]
    assert not all(right)


def test_depth_first_an_edit_is_trained_with_its_own_lesson_alone() -> None:
    """What is asked of the second edit has no part in the passes over the first."""
    model, tok = tiny_model("gpt2")
    first, second, *_ = REQUESTS
    own = Lesson(((first.question, first.target),))
    other = Lesson(((second.question, second.target), (f"Now: {second.question}", second.target)))

    def trained(lesson: Lesson) -> list[float]:
        settings = config(order="depth-first", wordings=1, epochs=2)
        work = bench(model, tok, (), curriculum=lambda count: Curriculum((own, lesson)))
        (computed,) = Locft(settings).together(work, [[(first, None), (second, None)]])
        losses: list[float] = computed.log["losses"]
        return losses

    with_wording, without = trained(other), trained(Lesson(other.wordings[:1]))
    assert with_wording[:2] == without[:2]  # the two passes of the first edit
    assert with_wording[2:] != without[2:]


def test_a_satisfied_batch_is_skipped() -> None:
    """Below the loss nothing is written at all, and a second pass is not made."""
    model, tok = tiny_model("gpt2")
    (computed,) = Locft(config(stop_loss=100.0)).together(bench(model, tok, ()), [CASE])
    assert len(computed.log["losses"]) == 1
    assert float(computed.delta.updates[0].dense().abs().max()) == 0.0


def test_rehearsed_facts_stay_nearer_to_the_unedited_model() -> None:
    """The next tokens of a fact nobody edits: KL to the unedited model falls when the fact is rehearsed."""
    model, tok = tiny_model("llama")
    question = ("Here in the headquarters of Siemens", "Munich")
    lessons = tuple(Lesson(((request.question, request.target),), (), (question,)) for request in REQUESTS)

    def moved(rehearsed: float) -> float:
        settings = config(epochs=30, learning_rate=5e-3, rehearsed=rehearsed, keep_weight=10.0)
        workbench = bench(model, tok, (), curriculum=lambda count: Curriculum(lessons))
        (computed,) = Locft(settings).together(workbench, [CASE])
        ids = torch.tensor([tok(question[0])["input_ids"]])
        with torch.no_grad():
            before = model(input_ids=ids).logits[0, -1].log_softmax(-1)
            with computed.delta.apply(model):
                after = model(input_ids=ids).logits[0, -1].log_softmax(-1)
        return float(F.kl_div(after, before, log_target=True, reduction="sum"))

    assert moved(1.0) < 0.5 * moved(0.0)


def test_training_goes_on_from_an_earlier_attempt() -> None:
    model, tok = tiny_model("gpt2")
    (first,) = Locft(config()).together(bench(model, tok, ()), [CASE])
    lessons = tuple(Lesson(((request.question, request.target),)) for request in REQUESTS)
    again = bench(model, tok, (), curriculum=lambda count: Curriculum(lessons, begin=first.delta))
    (second,) = Locft(config()).together(again, [CASE])
    (longer,) = Locft(config(epochs=4)).together(bench(model, tok, ()), [CASE])
    assert second.log["losses"][0] == pytest.approx(longer.log["losses"][3], rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_trained_and_left_as_it_was(family, tmp_path) -> None:
    model, tok = tiny_model(family)
    model.train()
    before = state_of(model)
    (computed,) = Locft(config(prefixes=2, rows=3)).together(bench(model, tok, ()), [CASE])
    assert state_of(model) == before
    assert computed.log["losses"][-1] < computed.log["losses"][0]
    (same,) = Locft(config(prefixes=2, rows=3)).together(bench(model, tok, ()), [CASE])
    assert same.delta.id == computed.delta.id
    stack = DeltaStack(model)
    stack.apply(LowRankDelta.load(computed.delta.save(tmp_path / "delta"), model))
    stack.revert_all()
    assert state_of(model)["bytes"] == before["bytes"]


def test_what_cannot_be_trained_is_refused() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(NoSuchLayer):
        Locft(config(layer=99)).together(bench(model, tok, ()), [CASE])
    with pytest.raises(TargetError):
        Locft(config()).together(bench(model, tok, ()), [[(Request("Marie Curie", "{} is a", " "), None)]])
    with pytest.raises(EditDiverged):
        Locft(config(learning_rate=1e30)).together(bench(model, tok, ()), [CASE])
