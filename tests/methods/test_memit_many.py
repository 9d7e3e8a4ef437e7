"""MEMIT's settings for many edits: earlier keys, anchor, forward replay, early stop, facts of one subject."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from families import D_FF, SENTENCES, D, tiny_model
from kgedit.delta import Delta, LowRankDelta
from kgedit.delta.outliers import OutlierDelta
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.lm.second_moment.collect import collect
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.methods.base import Request, requests_in
from kgedit.methods.computing import compute_each, compute_together
from kgedit.methods.engine.goals import anchored, merged, pilot_anchor
from kgedit.methods.engine.metric import joint_solve
from kgedit.methods.kn import Kn, KnSettings
from kgedit.methods.memit import Memit, averaged_keys
from kgedit.methods.registry import method_for
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.methods.rome_kg import MemitKg, MemitKgConfig
from methods.benches import REQUESTS, bench, recalled, state_of
from methods.test_memit import BAND, EXACT, config, written

REQUEST, OTHER = REQUESTS[0], REQUESTS[1]


def test_later_writes_hold_the_keys_of_earlier_edits() -> None:
    model, tok = tiny_model("gpt2")
    settings = {"moment_weight": 1e-3}
    (first,) = (one.delta for one in compute_each(Memit(config(**settings)), bench(model, tok, BAND), [OTHER], [None]))
    assert isinstance(first, LowRankDelta)
    told = requests_in(json.loads(json.dumps(first.manifest)))
    assert told == (OTHER,)
    moved = {}
    with first.apply(model):
        key = Memit(config())._keys_of(bench(model, tok, BAND), [OTHER])[BAND[0]][0]
        for held in (False, True):
            method = Memit(config(**settings, earlier_keys=held))
            (computed,) = method.compute(bench(model, tok, BAND, earlier=told), [REQUEST])
            update = computed.delta.updates[0]
            moved[held] = float((update.right @ (update.left.T @ key)).norm())
    assert moved[True] < 0.5 * moved[False]


@pytest.mark.parametrize(
    "method", [Rome(RomeConfig(layer=0, steps=2)), MemitKg(MemitKgConfig(layers=BAND, steps=2))], ids=["rome", "kg"]
)
def test_edits_by_other_methods_are_held_as_well(method) -> None:
    model, tok = tiny_model("gpt2")
    first, second = compute_each(method, bench(model, tok, BAND), [OTHER, REQUEST], [None, None])
    assert requests_in(first.delta.manifest, second.delta.manifest) == (OTHER, REQUEST)


@pytest.mark.parametrize(
    "method", [Rome(RomeConfig(layer=0, steps=2)), Kn(KnSettings(integration_steps=2))], ids=["rome", "kn"]
)
def test_each_edit_of_a_case_is_held_also_where_their_deltas_are_composed(method, tmp_path: Path) -> None:
    model, tok = tiny_model("gpt2")
    (both,) = compute_together(method, bench(model, tok, BAND), [[(OTHER, None), (REQUEST, None)]])
    both.delta.save(tmp_path / "both")
    assert requests_in(both.delta.manifest) == requests_in(Delta.load(tmp_path / "both").manifest) == (OTHER, REQUEST)


def test_edits_of_a_case_may_touch_different_weights() -> None:
    """KN finds other neurons for each edit, and with them other layers."""

    class Alternating(Rome):
        def compute(self, bench, requests, subgraphs=()):
            self.config = self.config.model_copy(update={"layer": 1 - self.config.layer})
            return super().compute(bench, requests, subgraphs)

    model, tok = tiny_model("gpt2")
    before = state_of(model)
    (both,) = Alternating(RomeConfig(layer=0, steps=2)).together(
        bench(model, tok, (0, 1)), [[(OTHER, None), (REQUEST, None)]]
    )
    assert len(both.delta.names) == 2
    with both.delta.apply(model):
        pass
    assert state_of(model) == before


def test_what_others_have_noted_in_another_shape_is_passed_over() -> None:
    told = asdict(REQUEST)
    for noted in (5, "x", [5], [{"subject": "Ulm"}], [told | {"target": 7}], {"composed": 5}):
        assert requests_in({"requests": noted}) == ()
    assert requests_in({"requests": [told | {"prompt": None}, told]}) == (REQUEST,)


def test_an_edit_that_was_reverted_is_not_held_any_more() -> None:
    model, tok = tiny_model("gpt2")
    method, moment, before = Memit(config(earlier_keys=True)), IdentityMoment(), state_of(model)

    def left(*earlier: Request) -> torch.Tensor:
        (computed,) = method.compute(bench(model, tok, BAND, moment=moment, earlier=earlier), [REQUEST])
        return computed.delta.updates[0].left

    plain, held, fewer = left(), left(OTHER, REQUESTS[2]), left(REQUESTS[2])
    assert not torch.allclose(plain, held)
    assert not torch.allclose(fewer, held)
    alone = Memit(config(earlier_keys=True))
    (fresh,) = alone.compute(bench(model, tok, BAND, moment=moment, earlier=[REQUESTS[2]]), [REQUEST])
    assert torch.allclose(fewer, fresh.delta.updates[0].left)
    assert torch.equal(left(), plain)
    assert state_of(model) == before


def test_the_anchor_by_hand() -> None:
    """Length 2 is wanted: (3, 0) + (0, 4), of length 5, is left out; (1, 0) + (2, 0) becomes (2, 0)."""
    values, offsets = torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 4.0], [2.0, 0.0]])
    bounded, left_out = anchored(values, offsets, 2.0)
    assert bounded.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert left_out == [0]


def test_the_anchor_of_a_model_drops_the_longest_twentieth() -> None:
    assert pilot_anchor([1.0] * 10 + [3.0] * 9 + [1000.0]) == pytest.approx(37 / 19)
    with pytest.raises(ValueError, match="one pilot fact"):
        pilot_anchor([])


def test_an_edit_beyond_the_anchor_is_left_out_and_told() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, BAND)
    usual = written(config(moment_weight=EXACT), work, [REQUEST])
    (length,) = usual.log["value_norms"]
    none = written(config(moment_weight=EXACT, anchor=length / 3), work, [REQUEST])
    assert any("left out" in note for note in none.notes)
    assert max(float(update.right.norm()) for update in none.delta.updates) < 1e-4
    same = written(config(moment_weight=EXACT, anchor=length), work, [REQUEST])
    assert same.notes == usual.notes
    assert torch.allclose(same.delta.updates[-1].dense(), usual.delta.updates[-1].dense(), atol=1e-3)


def test_forward_replay_gives_every_layer_a_state_of_its_own() -> None:
    """With an exact write each layer's block gives what the value at the first layer leads to."""
    model, tok = tiny_model("gpt2")
    method = Memit(config(moment_weight=EXACT, forward_replay=True))
    work, anatomy = bench(model, tok, BAND, prefixes=("",)), anatomy_of(model)
    objective = method._objective(work, REQUEST)
    goals = method._found(work, [objective]).states
    assert tuple(goals) == BAND
    delta, row = method.compute(work, [REQUEST])[0].delta, objective.rows[0]
    blocks = {str(layer): anatomy.block(model, layer) for layer in BAND}
    with torch.no_grad(), delta.apply(model), capture(blocks, rows=1) as states:
        model(input_ids=torch.tensor([row.ids]))
    for layer in BAND:
        reached = states[str(layer)].reshape(-1, D)[row.place]
        assert float((reached - goals[layer][0]).norm()) < 1e-2 * float(goals[layer][0].norm())


def test_an_early_stop_ends_once_the_object_is_on_top_behind_every_prefix() -> None:
    """An object that is on top from the start stops after as many evaluations; one that is not goes on."""
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, BAND, prefixes=("",))
    relation, label = next(iter(recalled(model, tok, "Nintendo").items()))
    on_top = Request("Nintendo", Verbalizer.bundled().texts[relation].cloze[0], label)
    settings = {"steps": 6, "stop_loss": 0.0}
    assert len(written(config(**settings), work, [on_top]).log["losses"][0]) == 6
    both = Memit(config(**settings, early_stop=2)).compute(work, [on_top, REQUEST])
    assert [len(computed.log["losses"][0]) for computed in both] == [2, 6]


def test_facts_of_one_subject_share_a_value_and_a_mean_key() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, BAND)
    case = [REQUEST, Request(REQUEST.subject, "{} was born in", "Ulm"), OTHER]
    method = Memit(config(merge_subjects=True))
    (computed,) = method.together(work, [[(request, None) for request in case]])
    assert (computed.delta.rank, len(computed.log["losses"]), method.writes_jointly) == (2, 2, False)
    objectives = [method._objective(work, request) for request in case]
    both = merged(objectives[:2])
    weights = {kind: sum(row.weight for row in both.rows if row.kind == kind) for kind in ("target", "essence")}
    assert weights == pytest.approx({"target": 1.0, "essence": 0.0625})
    keys = averaged_keys(model, objectives, BAND)[BAND[0]]
    mean = torch.stack([(keys[0] + keys[1]) / 2, keys[2]])
    expected = joint_solve(mean, method._metric(work, BAND[0]))
    assert torch.allclose(computed.delta.updates[0].left, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("seq", {"earlier_keys": True, "key_ridge": 0.0, "constraint": "moment"}),
        ("encore", {"earlier_keys": True, "key_ridge": 10.0, "early_stop": 4}),
        ("alphaedit", {"earlier_keys": True, "key_ridge": 10.0, "constraint": "null-space", "null_threshold": 0.02}),
        ("comeba-hk", {"earlier_keys": True, "outliers": 2.2, "moment_weight": 20000.0}),
        ("emmet", {"moment_weight": 0.1, "earlier_keys": False}),
    ],
)
def test_the_methods_of_the_family_are_settings(variant, expected) -> None:
    method, _ = method_for("gpt2-xl", f"memit:{variant}", 48)
    found = method.config.model_dump()
    assert {name: found[name] for name in expected} == expected
    assert found["layers"] == (13, 14, 15, 16, 17)


def test_alphaedit_leaves_the_directions_alone_that_c_serves() -> None:
    model, tok = tiny_model("gpt2")
    moment = collect(model, tok, SENTENCES * 5, [1])[1]
    values, vectors = torch.linalg.eigh(moment.matrix.double())
    threshold = float(values[D_FF // 2])
    method = Memit(config(layers=(1,), constraint="null-space", key_ridge=1e-4, null_threshold=threshold))
    (computed,) = method.compute(bench(model, tok, (1,), moment=moment), [REQUEST])
    update = computed.delta.updates[0].dense().double()
    assert float((update @ vectors[:, values >= threshold]).norm()) < 1e-5 * float(update.norm())
    assert float(update.norm()) > 0
    with pytest.raises(ValidationError, match="key_ridge above 0"):
        config(constraint="null-space")
    with pytest.raises(ValidationError, match="not both"):
        config(outliers=2.2, gate=0.9)


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_changes_at_outliers_act_in_each_edit_prompt_and_leave_the_weights_alone(family) -> None:
    model, tok = tiny_model(family)
    before, state = mean_logprob(model, tok, REQUEST), state_of(model)
    method = Memit(config(moment_weight=EXACT, outliers=2.2))
    assert not method.writes_jointly
    (plain,) = Memit(config(moment_weight=EXACT)).compute(bench(model, tok, BAND), [REQUEST])
    (computed,) = method.compute(bench(model, tok, BAND), [REQUEST])
    assert state_of(model) == state
    delta = computed.delta
    assert isinstance(delta, OutlierDelta)
    assert max(delta.thresholds) <= 2.2
    for own, other in zip(delta.updates, plain.delta.updates, strict=True):
        assert torch.equal(own.dense(), other.dense())
    with delta.apply(model):
        assert mean_logprob(model, tok, REQUEST) != before
        assert state_of(model)["bytes"] == state["bytes"]
        # While a further edit is solved for, this one acts everywhere; afterwards at outliers again.
        acting = state_of(model)
        method.compute(bench(model, tok, BAND), [OTHER])
        assert state_of(model) == acting
    assert state_of(model) == state


@pytest.mark.long
@pytest.mark.usefixtures("whole_moments")
def test_edits_at_outliers_of_the_bundled_model_hold_one_on_top_of_the_other(tmp_path) -> None:
    editor = Editor.from_pretrained("mini", method="memit:comeba-hk:moment_weight=100")
    first = editor.apply(Edit(subject="France", relation="P36", target_new="Q220"))
    editor.apply(Edit(subject="Albert Einstein", relation="P27", target_new="France"))
    asked = {"The capital of France is": "Rome", "Albert Einstein is a citizen of": "France"}
    assert {prompt: editor.complete(prompt) for prompt in asked} == asked
    assert editor.complete("The capital of Germany is") == "Berlin"
    editor.save(tmp_path)
    editor.revert(first.id)
    assert editor.complete("The capital of France is") == "Paris"
    assert editor.complete("Albert Einstein is a citizen of") == "France"
    again = Editor.from_pretrained("mini", method=None)
    again.load_delta(tmp_path)
    assert {prompt: again.complete(prompt) for prompt in asked} == asked


def mean_logprob(model, tok, request: Request) -> float:
    pair = (request.question, request.target)
    return score_pairs(model, tok, [pair])[pair].mean_logprob
