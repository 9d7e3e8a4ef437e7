"""GRACE and HoReN as methods: what an entry is trained to do, and that nothing else of the model moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import DeltaStack
from kgedit.delta.keyed import KeyedDelta, codebook_of
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import NoSuchLayer, UnsupportedExport
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.methods.grace import Grace, GraceSettings, Horen, HorenSettings
from kgedit.methods.memoe import Memoe, MemoeSettings
from kgedit.methods.registry import method_for
from methods.benches import REQUESTS, bench, state_of

BEYOND = [Grace(GraceSettings(layer=9)), Horen(HorenSettings(layer=9)), Memoe(MemoeSettings(layer=9))]
OTHER = ("Here in the headquarters of Nintendo people speak", "Danish")
GRACE = Grace(GraceSettings(layer=1, steps=25, radius=0.01))
HOREN = Horen(HorenSettings(layer=1, steps=25, threshold=0.999))


def probability(model, tok, prompt, target):
    return score_pairs(model, tok, [(prompt, target)])[prompt, target]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [GRACE, HOREN], ids=["grace", "horen"])
def test_several_edits_take_and_a_text_without_a_key_keeps_every_bit(family, method) -> None:
    model, tok = tiny_model(family)
    work, before, state = bench(model, tok, ()), probability(model, tok, *OTHER), state_of(model)
    asked = [(request.question, request.target) for request in REQUESTS[:2]]
    old = [probability(model, tok, *pair).mean_logprob for pair in asked]
    made = method.compute(work, REQUESTS[:2])
    assert state_of(model) == state
    stack = DeltaStack(model)
    for computed in made:
        stack.apply(computed.delta)
    new = [probability(model, tok, *pair).mean_logprob for pair in asked]
    # What acts is what was trained: the best loss is minus the mean log-probability of the object's tokens.
    assert new == pytest.approx([-min(computed.log["losses"][0]) for computed in made], abs=1e-3)
    assert all(later > earlier + 0.5 for earlier, later in zip(old, new, strict=True))
    assert probability(model, tok, *OTHER) == before
    stack.revert_all()
    assert state_of(model) == state


@pytest.mark.parametrize("method", [GRACE, HOREN], ids=["grace", "horen"])
def test_an_edit_of_the_same_prompt_stands_in_the_place_of_the_first_until_it_is_reverted(method) -> None:
    model, tok = tiny_model("llama")
    request, again = REQUESTS[0], replace(REQUESTS[0], target="France")
    work, stack = bench(model, tok, ()), DeltaStack(model)
    (first,) = method.compute(work, [request])
    stack.apply(first.delta)
    one = probability(model, tok, request.question, "Poland")
    (second,) = method.compute(work, [again])
    stack.apply(second.delta)
    assert probability(model, tok, request.question, "France").exact
    assert probability(model, tok, request.question, "Poland").probability < one.probability
    stack.revert(second.delta.id)
    assert probability(model, tok, request.question, "Poland") == one


def test_a_prompt_within_reach_of_an_entry_with_its_object_goes_on_from_its_value() -> None:
    model, tok = tiny_model("gpt2")
    method = Grace(GraceSettings(layer=1, steps=25, radius=1e6))
    work = bench(model, tok, ())
    (first,) = method.compute(work, [REQUESTS[0]])
    with first.delta.apply(model):
        (again,) = method.compute(work, [REQUESTS[0]])
    assert again.log["losses"][0][0] == pytest.approx(min(first.log["losses"][0]), rel=1e-3)
    assert len(again.log["losses"][0]) <= len(first.log["losses"][0])


def test_a_prompt_that_an_entry_would_grow_to_hold_goes_on_from_its_value() -> None:
    """Its distance d is above the radius 0.75 d and within twice that; a radius of 1.5 d holds it as it is."""
    model, tok = tiny_model("gpt2")
    work, request = bench(model, tok, ()), REQUESTS[0]
    other = replace(request, subject="Peru")
    one, two = (computed.delta.entries[0].key for computed in GRACE.compute(work, [request, other]))
    distance, begun = float((one - two).norm()), []
    for radius in (0.75 * distance, 1.5 * distance):
        method = Grace(GraceSettings(layer=1, steps=25, radius=radius))
        (first,) = method.compute(work, [request])
        with first.delta.apply(model):
            (second,) = method.compute(work, [other])
        begun.append(second.log["losses"][0][0])
    (alone,) = GRACE.compute(work, [other])
    assert begun[0] == pytest.approx(begun[1])
    assert begun[0] < 0.9 * alone.log["losses"][0][0]


@pytest.mark.parametrize(("variant", "keys"), [("horen", 2), ("horen:paper", 1)])
def test_horen_as_published_trains_an_edit_into_the_entry_that_answers_for_it(variant: str, keys: int) -> None:
    model, tok = tiny_model("gpt2")
    work, stack, request = bench(model, tok, ()), DeltaStack(model), REQUESTS[0]
    other = replace(request, subject="Peru")
    method, _ = method_for("a model of no preset", f"{variant}:layer=1:steps=25:threshold=0.001", 3)
    (first,) = method.compute(work, [request])
    stack.apply(first.delta)
    (second,) = method.compute(work, [other])
    stack.apply(second.delta)
    book = codebook_of(model, second.delta.weight, second.delta.lookup)
    assert len(book.labels) == keys
    assert torch.equal(book.values[-1], second.delta.entries[0].value)
    # An undo of the first leaves the second with a key of its own; it may be saved and loaded like any other.
    stack.revert(first.delta.id)
    book = codebook_of(model, second.delta.weight, second.delta.lookup)
    assert torch.equal(book.keys[0], second.delta.entries[0].key)
    assert KeyedDelta.from_stored(second.delta.stored()).id == second.delta.id


@pytest.mark.parametrize("name", ["grace", "horen"])
def test_the_editor_keeps_saves_and_loads_an_edit_of_the_bundled_model(name, tmp_path) -> None:
    editor = Editor.from_pretrained("mini", method=name, moments="identity")
    other = "The capital of Germany is"
    kept = torch.tensor([score for _, score in editor.ask(other)])
    result = editor.apply(Edit(subject="France", relation="P36", target_new="Q220"))
    assert result.after == "Rome"
    assert editor.ask("The capital of France is")[0][0] == "Rome"
    assert torch.equal(torch.tensor([score for _, score in editor.ask(other)]), kept)
    editor.save(tmp_path / "saved")
    with pytest.raises(UnsupportedExport, match="keyed-store"):
        editor.export_adapter(tmp_path / "adapter")
    with pytest.raises(UnsupportedExport, match="keyed-store"):
        editor.export_gguf(tmp_path / "adapter.gguf")
    editor.revert(result.id)
    assert editor.complete("The capital of France is") == "Paris"
    assert editor.load_delta(tmp_path / "saved") == result.id
    assert editor.complete("The capital of France is") == "Rome"


@pytest.mark.parametrize("method", BEYOND, ids=lambda method: method.name)
def test_a_layer_that_is_not_there_is_named(method) -> None:
    with pytest.raises(NoSuchLayer, match="layer 9 does not exist"):
        method.compute(bench(*tiny_model("gpt2"), ()), REQUESTS[:1])
