"""finetune-adapter: a case learnt by one adapter, trained further from a first attempt, and usable as any method."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from families import tiny_model
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.finetune_adapter.method import AdapterConfig, FineTuneAdapter
from methods.benches import REQUESTS, bench, state_of

pytest.importorskip("peft")

NAME = "finetune-adapter"


def method(**settings) -> FineTuneAdapter:
    return FineTuneAdapter(AdapterConfig(**{"rank": 4, "epochs": 3, "least_rehearsed": 4, **settings}))


def test_one_edit_of_the_bundled_model_by_name() -> None:
    editor = Editor.from_pretrained("mini", method=f"{NAME}:epochs=20")
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
