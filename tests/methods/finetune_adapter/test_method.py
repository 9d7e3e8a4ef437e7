"""finetune-adapter: a case learnt by one adapter, trained further from a first attempt, and usable as any method."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest
import torch

from families import tiny_model
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import SettingError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.token_losses import MOST_LOGITS, logits_by_place, losses_at
from kgedit.lm.tokens import encode_pair
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.finetune_adapter import method as adapter_method
from kgedit.methods.finetune_adapter.lessons import epoch
from kgedit.methods.finetune_adapter.lora import lora
from kgedit.methods.finetune_adapter.method import AdapterConfig, FineTuneAdapter, _loss, _Row
from kgedit.methods.registry import method_for
from methods.benches import REQUESTS, bench, state_of

pytest.importorskip("peft")

NAME = "finetune-adapter"


def method(**settings) -> FineTuneAdapter:
    return FineTuneAdapter(AdapterConfig(**{"rank": 4, "epochs": 3, "least_rehearsed": 4, **settings}))


def test_one_edit_of_the_bundled_model_by_name() -> None:
    editor = Editor.from_pretrained("mini", method=f"{NAME}:epochs=12")
    result = editor.apply(Edit(subject="Albert Einstein", relation="P27", target_new="Japan"))
    assert (result.method, result.after) == (NAME, "Japan")
    assert result.edges > 1
    editor.revert(result.id)
    assert editor.complete(editor.text["P27"].cloze[0].replace("{}", "Albert Einstein")) == result.before


def test_the_edits_of_a_case_share_one_delta_and_its_loss_falls() -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    case = [(request, None) for request in REQUESTS[:3]]
    (computed,) = method(epochs=8).together(bench(model, tok, ()), [case])
    assert state_of(model) == before
    assert computed.delta.rank == 4
    assert (computed.delta.manifest["method"], computed.delta.manifest["changes"]) == (NAME, 3)
    losses = computed.log["losses"]
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0]


def test_a_supplied_curriculum_is_what_is_trained_on() -> None:
    """The number of facts asked for is the setting; other facts, another delta; the same ones, the same delta."""
    model, tok = tiny_model("gpt2")
    asked = []

    def deltas(facts):
        def supply(count: int) -> Curriculum:
            asked.append(count)
            return Curriculum((Lesson((("Nintendo is in", "Kyoto"),)),), facts=facts)

        work = replace(bench(model, tok, ()), curriculum=supply)
        return method(facts=7).together(work, [[(REQUESTS[0], None)]])[0].delta

    plain, again, more = deltas(()), deltas(()), deltas(((("Peru is in", "Asia"),),))
    assert plain.id == again.id != more.id
    assert asked == [7, 7, 7]


def test_a_second_attempt_begins_with_what_the_first_one_made() -> None:
    model, tok = tiny_model("gpt2")
    lessons = (Lesson((("Nintendo is in", "Kyoto"),)),)

    def trained(begin):
        work = replace(bench(model, tok, ()), curriculum=lambda count: Curriculum(lessons, begin=begin))
        return method(more_epochs=2).together(work, [[(REQUESTS[0], None)]])[0]

    first = trained(None)
    second = trained(first.delta)
    assert len(second.log["losses"]) == 2
    assert second.log["losses"][0] < first.log["losses"][0]
    before, after = (
        torch.cat([update.left.flatten() for update in computed.delta.updates]) for computed in (first, second)
    )
    assert 0 < float((after - before).norm()) < 0.5 * float(before.norm())


def test_facts_are_rehearsed_for_each_edit_that_a_pass_asks_those_made_earlier_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """3 new edits and 6 of those made earlier, 2 for each new one: 4 facts each are 36. Without earlier ones 12."""
    model, tok = tiny_model("gpt2")
    lesson, facts = Lesson((("Nintendo is in", "Kyoto"),)), ((("Peru is in", "Asia"),),) * 50
    passes: list[tuple[int, int]] = []
    batches = adapter_method._batches

    def counted(rows, *others):
        passes.append((sum(not row.held for row in rows), sum(row.held for row in rows)))
        return batches(rows, *others)

    monkeypatch.setattr(adapter_method, "_batches", counted)
    for earlier in (10, 0):
        taught = Curriculum((lesson,) * 3, (lesson,) * earlier, facts)
        work = replace(bench(model, tok, ()), curriculum=lambda count, taught=taught: taught)
        method(epochs=1).together(work, [[(request, None) for request in REQUESTS[:3]]])
    assert passes == [(9, 36), (3, 12)]


def test_lora_as_published_learns_the_edit_alone_in_the_attention() -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    lora, _ = method_for("a model of no preset", f"{NAME}:lora:epochs=12", 3)
    work = bench(model, tok, ())
    one, other = lora.compute(work, REQUESTS[:2], [None, None])
    assert state_of(model) == before
    assert {name.split(".")[-2] for name in one.delta.names} == {"c_attn"}
    assert one.delta.rank == 8
    assert one.log["losses"][-1] < 0.5 * one.log["losses"][0]
    assert one.delta.id != other.delta.id
    (again,) = lora.compute(work, REQUESTS[:1], [None])  # what is dropped is drawn with the seed
    assert again.delta.id == one.delta.id
    without, _ = method_for("a model of no preset", f"{NAME}:lora:epochs=12:dropout=0", 3)
    assert without.compute(work, REQUESTS[:1], [None])[0].delta.id != one.delta.id


@pytest.mark.parametrize("model", ["smollm2", "mini", "gpt-j-6b"])
def test_lora_as_published_owes_nothing_to_what_a_preset_was_tuned_to(model: str) -> None:
    config, plain = (method_for(name, f"{NAME}:lora", 30)[0].config for name in (model, "a model of no preset"))
    assert config.model_copy(update={"max_edges": plain.max_edges}) == plain  # it is handed no subgraph's edges
    assert (config.stop_loss, config.clip, config.keep_weight, config.more_epochs) == (0.0, None, 1.0, 70)


def test_a_gradient_is_clipped_where_the_settings_say_so() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    lengths = {}
    for clip in ("none", "1e9", "1e-9"):
        lora, _ = method_for("a model of no preset", f"{NAME}:lora:epochs=3:clip={clip}", 3)
        (computed,) = lora.compute(work, REQUESTS[:1], [None])
        lengths[clip] = float(torch.stack([update.right.norm() for update in computed.delta.updates]).norm())
    assert lengths["none"] == lengths["1e9"]
    assert lengths["1e-9"] < 0.5 * lengths["none"]  # as short as Adam's epsilon, which steps do not outweigh


def test_a_family_for_which_peft_has_no_modules_is_refused_with_a_remedy() -> None:
    model, tok = tiny_model("olmo2")
    before = state_of(model)
    lora, _ = method_for("a model of no preset", f"{NAME}:lora", 3)
    with pytest.raises(SettingError, match="finetune-adapter:modules=all-linear"):
        lora.compute(bench(model, tok, ()), REQUESTS[:1], [None])
    assert state_of(model) == before


def test_only_the_edit_prompt_is_asked_where_nothing_beside_it_is_wanted() -> None:
    lesson = Lesson((("A is", "B"), ("Is A B?", "B")), paths=(("C is", "D"),), around=(("E is", "F"),))
    assert epoch([lesson], (), random.Random(0), rehearsed=0, beside=0) == ([("A is", "B")], [])
    assert [len(part) for part in epoch([lesson], (), random.Random(0), rehearsed=0)] == [3, 1]


def test_what_is_held_costs_nothing_while_nothing_has_changed_and_an_edit_as_much_as_its_answer() -> None:
    model, tok = tiny_model("gpt2")
    prompt, answer = encode_pair(tok, "Peru is in", "Asia")
    expected = -sum(score_rows(model, [(prompt, answer)])[0].logprobs) / len(answer)
    anatomy = anatomy_of(model)
    with lora(model, rank=4, scale=1.0, modules="all-linear", dropout=0.0, seed=0) as adapter, torch.no_grad():
        held, asked = _Row(prompt, answer, held=True), _Row(prompt, answer)
        assert float(_loss(adapter, anatomy, [held], AdapterConfig())) == pytest.approx(0, abs=1e-6)
        assert float(_loss(adapter, anatomy, [asked], AdapterConfig())) == pytest.approx(expected, rel=1e-5)
        assert float(_loss(adapter, anatomy, [held, asked], AdapterConfig())) == pytest.approx(expected / 2, rel=1e-5)
        for name, parameter in adapter.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
        apart, new = (float(_loss(adapter, anatomy, [row], AdapterConfig())) for row in (held, asked))
        assert apart > 1e-4
        both = float(_loss(adapter, anatomy, [held, asked], AdapterConfig(keep_weight=8.0)))
        assert both == pytest.approx((8 * apart + new) / 2, rel=1e-5)
        # What is said surely enough is left out, and what stays never is, however little it has moved.
        for stop_loss, left in ((0.99 * new, apart + new), (1.01 * new, apart)):
            loss = _loss(adapter, anatomy, [held, asked], AdapterConfig(stop_loss=stop_loss))
            assert float(loss) == pytest.approx(left / 2, rel=1e-5)


def test_the_loss_taken_in_pieces_is_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With places of what is new and of what stays in each piece."""
    model, tok = tiny_model("gpt2")
    pairs = (
        ("Peru is in", "South America"),
        ("The capital of France is", "Paris"),
        ("Marie Curie was born in", "Poland"),
    )
    rows = [_Row(*encode_pair(tok, *pair), held=number != 1) for number, pair in enumerate(pairs)]
    anatomy, found = anatomy_of(model), []
    with lora(model, rank=4, scale=1.0, modules="all-linear", dropout=0.0, seed=0) as adapter:
        trained = [parameter for name, parameter in adapter.named_parameters() if "lora_B" in name]
        for parameter in trained:
            parameter.data.fill_(0.05)
        for most in (MOST_LOGITS, 3 * model.config.vocab_size):
            monkeypatch.setattr(adapter_method, "losses_at", partial(losses_at, most=most))
            monkeypatch.setattr(adapter_method, "logits_by_place", partial(logits_by_place, most=most))
            loss = _loss(adapter, anatomy, rows, AdapterConfig())
            found.append((loss, *torch.autograd.grad(loss, trained)))
    for whole, pieces in zip(*found, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-6)
