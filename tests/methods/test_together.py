"""The edits of one case as one delta: what `Method.together` promises for every method."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from families import tiny_model
from kgedit.delta import Delta, DeltaStack, LowRankDelta
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import EditError, TargetError
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.base import Request
from kgedit.methods.registry import METHODS
from kgedit.methods.rome import Rome, RomeConfig
from methods.benches import CASE, GRAPH, LAYERS, REQUESTS, bench, small, state_of


def test_rome_is_computed_and_applied_one_after_another() -> None:
    """By hand: compute, apply, compute the next on the edited model, apply; then the same weights."""
    model, tok = tiny_model("gpt2")
    rome, work = Rome(RomeConfig(layer=1, steps=4)), bench(model, tok, (1,))
    cases = [[(request, None) for request in REQUESTS[:3]], [(REQUESTS[3], None)]]
    three, one = rome.together(work, cases)
    weight = anatomy_of(model).weight(model, 1)
    with ExitStack() as applied:
        losses = []
        for request in REQUESTS[:3]:
            (computed,) = rome.compute(work, [request])
            losses.append(computed.log["losses"])
            applied.enter_context(computed.delta.apply(model))
        by_hand = weight.detach().clone()
    unedited = weight.detach().clone()
    with three.delta.apply(model):
        assert float((weight.detach() - by_hand).norm()) < 1e-5 * float((by_hand - unedited).norm())
    for part, expected in zip(three.log["edits"], losses, strict=True):
        assert part["losses"] == pytest.approx(expected, rel=1e-3)
    assert three.delta.rank == 3
    single = rome.compute(work, [REQUESTS[3]])[0].delta.updates[0].dense()
    assert float((one.delta.updates[0].dense() - single).norm()) < 1e-3 * float(single.norm())
    # Not what the edits would be if each met the unedited model.
    alone = torch.stack([found.delta.updates[0].dense() for found in rome.compute(work, REQUESTS[:3])]).sum(dim=0)
    assert float((three.delta.updates[0].dense() - alone).norm()) > 0.01 * float(alone.norm())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_one_delta_per_case_and_leaves_the_model_alone(name) -> None:
    model, tok = tiny_model("gpt2")
    model.train()
    method, work = small(name), bench(model, tok, LAYERS)
    before = state_of(model)
    with torch.inference_mode():
        found = method.together(work, [CASE, CASE[:1]])
    assert state_of(model) == before
    assert len(found) == 2
    stack = DeltaStack(model)
    for computed in found:
        computed.delta.check_base(model)
        stack.apply(computed.delta)
        changed = state_of(model)
        assert any(changed[what] != before[what] for what in ("bytes", "hooks"))
        stack.revert_all()
        assert state_of(model) == before
    (alone,) = method.compute(work, [CASE[0][0]], [GRAPH])
    # Weights change by the same; what acts at run time has the same effect.
    if isinstance(alone.delta, LowRankDelta):
        for one, other in zip(found[1].delta.updates, alone.delta.updates, strict=True):
            assert float((one.dense() - other.dense()).norm()) < 1e-4 * other.norm()
    else:
        model.eval()
        one, other = (logits_with(model, tok, delta) for delta in (found[1].delta, alone.delta))
        assert float((one - other).norm()) < 1e-3 * float(other.norm())


def logits_with(model, tok, delta):
    with delta.apply(model), torch.no_grad():
        return model(**tok(CASE[0][0].question, return_tensors="pt")).logits[0]


@pytest.mark.parametrize("name", METHODS)
def test_what_every_method_makes_is_saved_and_loaded_with_the_same_effect(name, tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    (computed,) = small(name).together(bench(model, tok, LAYERS), [CASE])
    edited = logits_with(model, tok, computed.delta)
    loaded = Delta.load(computed.delta.save(tmp_path), model)
    assert (type(loaded), loaded.id) == (type(computed.delta), computed.delta.id)
    assert torch.equal(logits_with(model, tok, loaded), edited)
    (again,) = small(name).together(bench(model, tok, LAYERS), [CASE])
    assert again.delta.id == computed.delta.id  # seeds repeat


@pytest.mark.parametrize("name", METHODS)
def test_no_cases_and_a_case_without_edits(name) -> None:
    model, tok = tiny_model("gpt2")
    method, work = small(name), bench(model, tok, LAYERS)
    assert method.together(work, []) == []
    assert method.compute(work, [], []) == []
    with pytest.raises(EditError, match="case 1 of 2 has no edit"):
        method.together(work, [CASE, []])


@pytest.mark.parametrize("name", METHODS)
def test_an_edit_that_is_refused_half_way_leaves_no_trace(name) -> None:
    model, tok = tiny_model("mistral")
    before = state_of(model)
    case = [CASE[0], (Request("Nintendo", "{} is in", " "), None)]
    with pytest.raises(EditError):
        small(name).together(bench(model, tok, LAYERS), [case])
    assert state_of(model) == before


@pytest.mark.parametrize("name", METHODS)
def test_an_empty_object_is_refused_also_where_objects_are_learned_with_an_ending(name) -> None:
    """Else the full stop alone would be learned as the answer."""
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    method = small(name, ending=".") if "ending" in type(small(name).config).model_fields else small(name)
    with pytest.raises(TargetError, match="the target is empty"):
        method.together(bench(model, tok, LAYERS), [[(Request("Nintendo", "{} is in", " "), None)]])
    assert state_of(model) == before


def test_the_editor_makes_all_edits_of_a_case() -> None:
    """Two facts of the bundled model, prepared by name, then one delta that makes both."""
    editor = Editor.from_pretrained("mini", method="ft")
    text = Verbalizer.bundled()
    wanted = {"Albert Einstein": "Japan", "Niels Bohr": "Norway"}
    edits = [Edit(subject=name, relation="P27", target_new=country) for name, country in wanted.items()]
    (computed,) = editor.compute_cases([[editor.prepare(edit) for edit in edits]])
    with computed.delta.apply(editor.model):
        said = {name: editor.complete(text["P27"].cloze[0].replace("{}", name)) for name in wanted}
    assert said == wanted
    assert editor.compute_cases([]) == []
