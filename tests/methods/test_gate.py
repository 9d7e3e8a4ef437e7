"""A gate on a method's change: it acts at the edit's subject, and other texts keep every bit of their logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta.gated import GatedDelta, raised, rooted
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import SettingError, UnsupportedExport
from kgedit.methods.computing import compute_each, compute_together
from kgedit.methods.engine.subject_keys import last_keys
from kgedit.methods.finetune_adapter.method import AdapterConfig, FineTuneAdapter
from kgedit.methods.gate import BEGINNINGS, with_gates
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.method import Glame
from kgedit.methods.memit import Memit, MemitConfig
from kgedit.methods.rome import Rome, RomeConfig
from methods.benches import REQUESTS, bench, state_of

REQUEST = REQUESTS[0]
OTHER = "Here in the headquarters of Nintendo people speak"


def logits(model, tok, text):
    with torch.no_grad():
        return model(**tok(text, return_tensors="pt")).logits[0]


def gated_alone(delta: GatedDelta, number: int) -> GatedDelta:
    return GatedDelta((delta.gates[number],), delta.base_hash)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_edit_prompt_gets_the_change_and_another_text_keeps_every_bit(family) -> None:
    model, tok = tiny_model(family)
    model.eval()
    before, other = logits(model, tok, REQUEST.question), logits(model, tok, OTHER)
    state = state_of(model)
    work = bench(model, tok, (1,))
    (plain,) = compute_each(Rome(RomeConfig(layer=1, steps=4)), work, [REQUEST], [None])
    (gated,) = compute_each(Rome(RomeConfig(layer=1, steps=4, gate=0.999)), work, [REQUEST], [None])
    assert state_of(model) == state
    assert isinstance(gated.delta, GatedDelta)
    with plain.delta.apply(model):
        assert not torch.equal(logits(model, tok, OTHER), other)
        edited = logits(model, tok, REQUEST.question)
    with gated.delta.apply(model):
        assert torch.equal(logits(model, tok, OTHER), other)
        after = logits(model, tok, REQUEST.question)
    assert not torch.equal(after, before)
    assert not torch.equal(after, edited)  # the plain change acts at every token, the gated one at the subject


def test_a_gate_stays_shut_at_the_beginning_of_a_text() -> None:
    """The thresholds are those beside the keys of the words that texts begin with."""
    model, tok = tiny_model("llama")
    method = Rome(RomeConfig(layer=1, steps=1, gate=0.01))
    (computed,) = compute_each(method, bench(model, tok, (1,)), [REQUEST], [None])
    assert isinstance(computed.delta, GatedDelta)
    (gate,) = computed.delta.gates
    words = [tok(word).input_ids for word in BEGINNINGS]
    closed = last_keys(model, words, (1,))[1]  # (words, d_ff)
    assert gate.thresholds is not None
    assert torch.allclose(gate.thresholds, raised(gate.keys, closed, 0.01))
    assert float(gate.thresholds.min()) > 0.5
    assert not bool((rooted(closed) @ rooted(gate.keys).T > gate.thresholds).any())


def test_several_layers_and_several_edits_open_at_each_of_their_subjects() -> None:
    model, tok = tiny_model("gpt2")
    method = Memit(MemitConfig(layers=(0, 1, 2), steps=4, moment_weight=1.0, gate=0.99))
    (computed,) = compute_together(method, bench(model, tok, (0, 1, 2)), [[(each, None) for each in REQUESTS[:2]]])
    assert len(computed.delta.names) == 3
    untouched = logits(model, tok, OTHER)
    plain = [logits(model, tok, request.question) for request in REQUESTS[:2]]
    with computed.delta.apply(model):
        assert torch.equal(logits(model, tok, OTHER), untouched)
        for request, was in zip(REQUESTS[:2], plain, strict=True):
            assert not torch.equal(logits(model, tok, request.question), was)


def test_of_a_joint_write_each_subject_opens_the_columns_of_its_own_edit() -> None:
    """The closed form holds every edit at the keys of the others, so its own columns are enough, and less leaks."""
    model, tok = tiny_model("gpt2")
    method = Memit(MemitConfig(layers=(1,), steps=4, moment_weight=1.0, gate=0.99))
    (computed,) = compute_together(method, bench(model, tok, (1,)), [[(each, None) for each in REQUESTS[:2]]])
    assert isinstance(computed.delta, GatedDelta)
    assert [gate.update.rank for gate in computed.delta.gates] == [1, 1]
    first, second = (gated_alone(computed.delta, number) for number in (0, 1))
    untouched = logits(model, tok, REQUESTS[1].question)
    with computed.delta.apply(model):
        both = logits(model, tok, REQUESTS[0].question)
    with first.apply(model):
        assert torch.equal(logits(model, tok, REQUESTS[0].question), both)
        assert torch.equal(logits(model, tok, REQUESTS[1].question), untouched)
    with second.apply(model):
        assert not torch.equal(logits(model, tok, REQUESTS[1].question), untouched)


def test_where_edits_have_other_columns_on_another_layer_one_gate_holds_all_of_them() -> None:
    """Their share of a solve for all is not what they were asked to write, as with GLAME's later layers."""
    model, tok = tiny_model("gpt2")
    place = bench(model, tok, (0, 1))
    (computed,) = Memit(MemitConfig(layers=(0, 1), steps=2)).together(place, [[(each, None) for each in REQUESTS[:2]]])
    early, late = computed.delta.names
    requests = [REQUESTS[:2]]
    for owners, ranks in (({}, [1, 1, 1, 1]), ({early: (0, 1), late: (1, 0)}, [2, 2])):
        (gated,) = with_gates(place, [replace(computed, owners=owners)], requests, 0.9)
        assert isinstance(gated.delta, GatedDelta)
        assert [gate.update.rank for gate in gated.delta.gates] == ranks


def test_a_method_that_changes_other_matrices_cannot_have_a_gate() -> None:
    model, tok = tiny_model("gpt2")
    method = FineTuneAdapter(AdapterConfig(epochs=1, least_rehearsed=0, gate=0.9))
    with pytest.raises(SettingError, match="leave gate out"):
        compute_each(method, bench(model, tok, ()), [REQUEST], [None])


def test_the_editor_keeps_reverts_saves_and_loads_a_gated_edit(tmp_path) -> None:
    """The bundled model: the edit takes, unrelated facts keep their logits bit for bit, undo is exact."""
    editor = Editor.from_pretrained("mini", method="rome:gate=0.8", moments="identity")
    edit = Edit(subject="France", relation="P36", target_new="Q220")
    other = "The capital of Germany is"
    first = logits(editor.model, editor.tokenizer, other)
    asked = logits(editor.model, editor.tokenizer, "The capital of France is")
    result = editor.apply(edit)
    assert result.succeeded
    assert torch.equal(logits(editor.model, editor.tokenizer, other), first)
    editor.save(tmp_path / "saved")
    with pytest.raises(UnsupportedExport):
        editor.export_adapter(tmp_path / "adapter")
    editor.revert(result.id)
    assert torch.equal(logits(editor.model, editor.tokenizer, "The capital of France is"), asked)
    assert editor.load_delta(tmp_path / "saved") == result.id
    assert editor.complete("The capital of France is").startswith("Rome")


def test_behind_gates_each_subject_gets_its_own_write_whatever_is_written_beside_it() -> None:
    """A gate lets one edit's column through: of forty edits in one solve it would carry only a part of the value."""
    model, tok = tiny_model("llama")
    requests = [replace(REQUEST, prompt="{} is in", subject=f"{REQUEST.subject} {n}") for n in range(6)]
    requests.append(replace(requests[0], prompt="{} stands in"))  # a second edit of the first subject
    method = Glame(GlameConfig(layers=(1,), repr_layer=0, steps=2, gate=0.99, wording_weight=0.0))
    work = bench(model, tok, (1,))
    (both,) = compute_together(method, work, [[(each, None) for each in requests]])
    (pair,) = compute_together(method, work, [[(requests[0], None), (requests[-1], None)]])
    (alone,) = compute_together(method, work, [[(requests[3], None)]])
    assert isinstance(both.delta, GatedDelta)
    for found, expected in ((0, pair.delta.gates[0]), (6, pair.delta.gates[1]), (3, alone.delta.gates[0])):
        gate = both.delta.gates[found]
        torch.testing.assert_close(gate.update.left, expected.update.left, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(gate.update.right, expected.update.right, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(gate.keys, expected.keys, rtol=1e-4, atol=1e-5)
