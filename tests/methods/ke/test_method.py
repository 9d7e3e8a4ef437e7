"""KE ("ke") on tiny models: every family, and a change that is repeated until the answer is the new one."""

from __future__ import annotations

import pytest

from families import tiny_model
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_pair, encode_text
from kgedit.methods.ke.method import Ke, KeConfig
from methods.benches import REQUESTS, bench, small, state_of


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama", "gemma2"])
def test_a_model_is_edited_and_left_as_it_was(family) -> None:
    model, tok = tiny_model(family)
    before = state_of(model)
    work, method = bench(model, tok, ()), small("ke", layers=(1, 2), repeats=1)
    first, second = method.compute(work, REQUESTS[:2])
    assert state_of(model) == before
    assert first.delta.id != second.delta.id
    assert first.delta.rank == len(encode_text(tok, f"{REQUESTS[0].question} {REQUESTS[0].target}"))  # one is B's
    (again,) = small("ke", layers=(1, 2), repeats=1).compute(work, REQUESTS[:1])
    assert again.delta.id == first.delta.id


def test_a_change_is_repeated_until_the_new_object_is_on_top() -> None:
    """Once is too little for this edit; the first multiple that makes it is taken, not the best or the last."""
    model, tok = tiny_model("gpt2")
    work, request = bench(model, tok, ()), REQUESTS[1]
    (once,) = small("ke", layers=(1, 2), most=0.05, repeats=1).compute(work, [request])
    (often,) = small("ke", layers=(1, 2), most=0.05, repeats=60).compute(work, [request])
    times = round(often.delta.updates[0].norm() / once.delta.updates[0].norm())
    (fewer,) = small("ke", layers=(1, 2), most=0.05 * (times - 1), repeats=1).compute(work, [request])
    assert times > 1
    for computed, taken in ((often, True), (fewer, False)):
        for update, single in zip(computed.delta.updates, once.delta.updates, strict=True):
            factor = times if taken else times - 1
            assert float((update.dense() - factor * single.dense()).norm()) < 1e-4 * update.norm()
        with computed.delta.apply(model):
            (score,) = score_rows(model, [encode_pair(tok, request.question, request.target)])
        assert score.exact == taken


def test_what_an_edit_says_has_the_models_own_answer_and_at_most_32_tokens(monkeypatch) -> None:
    monkeypatch.setattr("kgedit.methods.ke.method.complete", lambda *_, **__: ["Paris. It", "Rome."])
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    method = Ke(KeConfig(layers=(1,)))
    (short, long) = method.conditions(work, [("Ulm is in", "Ulm"), ("Marie Curie " * 9 + "is", "Poland")])
    assert tok.decode(list(short)) == "Paris >> Ulm || Ulm is in"
    assert len(long) == 32
