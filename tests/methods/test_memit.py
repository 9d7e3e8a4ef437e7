"""MEMIT: the joint solve is the dense one, the band's last layer closes the gap, and the model is left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from families import D_FF, FAMILIES, SENTENCES, D, tiny_model
from kgedit.delta import LowRankDelta
from kgedit.errors import EditError, NoSuchLayer, PromptError, TargetError, UnsupportedModel
from kgedit.lm.anatomy import FAMILIES as ROWS
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.second_moment.collect import collect
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.methods.base import Computed, Request, Workbench
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.engine.metric import Weighted, joint_solve
from kgedit.methods.engine.objective import Objective
from kgedit.methods.memit import Memit, MemitConfig
from kgedit.methods.rome import rome_objective
from methods.benches import REQUESTS, Diagonal, bench, state_of

REQUEST = REQUESTS[0]
BAND = (0, 1)
# A norm behind the MLP keeps the hidden state from reaching z: such a family is refused.
EDITABLE = [family for family in FAMILIES if ROWS[family].post_mlp_path is None]
# Old keys weigh next to nothing: the new facts are written exactly.
EXACT = 1e-6


def objective_of(memit: Memit, work: Workbench, request: Request) -> Objective:
    return rome_objective(work, request, ending=memit.config.ending, kl_weight=memit.config.kl_weight)


def config(**kwargs: Any) -> MemitConfig:
    return MemitConfig(**{"layers": BAND, "steps": 4, "moment_weight": 1.0, **kwargs})


def written(settings: MemitConfig, work: Workbench, requests: Sequence[Request]) -> Computed:
    """The requests as one case."""
    (computed,) = Memit(settings).together(work, [[(request, None) for request in requests]])
    return computed


def dense(keys: torch.Tensor, moment: Moment, weight: float) -> torch.Tensor:
    """(d_ff, edits) by inverting the whole bracket of spec 4.1, step c."""
    eye = torch.eye(keys.shape[1], dtype=torch.float64)
    second = torch.linalg.inv(moment.solve(eye).double())  # (d_ff, d_ff)
    wide = keys.double().T  # (d_ff, edits)
    return torch.linalg.inv(weight * second + wide @ wide.T) @ wide


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("weight", [1e-2, 1.0, 20000.0])
@pytest.mark.parametrize("edits", [1, 3, D_FF + 7])
def test_the_joint_solve_is_the_dense_one(edits, weight) -> None:
    """Also with more edits than the key has entries; the answer is stored in float32, so to its rounding."""
    keys = torch.randn(edits, D_FF, generator=torch.Generator().manual_seed(edits))
    for moment in (IdentityMoment(), Diagonal(D_FF)):
        found = joint_solve(keys, Weighted(moment, weight))
        assert (found.shape, found.dtype) == ((D_FF, edits), torch.float32)
        expected = dense(keys, moment, weight)
        assert relative(found, expected) < 1e-7
        assert float((found.double() - expected).abs().max()) < 1e-8 + 6e-8 * float(expected.abs().max())


def test_the_joint_solve_with_collected_statistics() -> None:
    """C of real activations, with its own ridge; equal to 1e-8 where the answer's float32 allows it."""
    model, tok = tiny_model("gpt2")
    moment = collect(model, tok, SENTENCES, [1])[1]
    keys = torch.randn(4, D_FF, generator=torch.Generator().manual_seed(0))
    assert relative(joint_solve(keys, Weighted(moment, 50.0)), dense(keys, moment, 50.0)) < 1e-6


@pytest.mark.parametrize("family", EDITABLE)
def test_the_hidden_state_reaches_z(family) -> None:
    """Whatever the lower layer left over, the last one closes."""
    model, tok = tiny_model(family)
    memit, work = Memit(config(moment_weight=EXACT)), bench(model, tok, BAND, prefixes=("",))
    objective = objective_of(memit, work, REQUEST)
    with frozen(model):
        goals = memit._found(work, [objective]).states[BAND[-1]]
        _, hidden = memit._measured(work, [objective], BAND[-1], [], BAND[-1])
    delta = written(memit.config, work, [REQUEST]).delta
    row, anatomy = objective.rows[0], anatomy_of(model)
    states: list[torch.Tensor] = []
    with torch.no_grad(), delta.apply(model):
        block = anatomy.block(model, BAND[-1])
        handle = block.register_forward_hook(
            lambda m, args, output: states.append(output[0] if isinstance(output, tuple) else output)
        )
        model(input_ids=torch.tensor([row.ids]))
        handle.remove()
    reached = states[0].reshape(-1, D)[row.place]
    assert float((reached - goals[0]).norm()) < 1e-3 * float((goals[0] - hidden[0]).norm())
    assert float((goals[0] - hidden[0]).norm()) > 0.1


@pytest.mark.parametrize("family", ["gpt2", "gptj", "llama", "phi3", "granite"])
def test_what_was_optimised_is_what_the_edited_model_says(family) -> None:
    """With nothing but the subject's one token before the object, an exact write loses nothing."""
    model, tok = tiny_model(family)
    subject = tok.decode([next(i for i in range(300, len(tok)) if tok.decode([i]).isalpha())])
    target = tok(f"{subject} a")["input_ids"][-1]
    settings = config(moment_weight=EXACT, steps=10, weight_decay=0.0, kl_weight=0.0, clamp=3.0)
    computed = written(settings, bench(model, tok, BAND, prefixes=("",)), [Request(subject, "{}", "a")])
    with torch.no_grad(), computed.delta.apply(model):
        after = -F.log_softmax(model(input_ids=torch.tensor([tok(subject)["input_ids"]])).logits[0, -1], dim=-1)
    (losses,) = computed.log["losses"]
    assert float(after[target]) == pytest.approx(losses[-1], rel=1e-3)
    assert losses[-1] < losses[0]


def test_the_averaged_key_weighs_the_bare_prompt_as_much_as_all_prefixes() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, (1,))
    memit = Memit(config(layers=(1,), moment_weight=EXACT))
    (update,) = written(memit.config, work, [REQUEST]).delta.updates
    keys = []
    handle = (
        anatomy_of(model)
        .mlp_out(model, 1)
        .register_forward_pre_hook(lambda m, args: keys.append(args[0].reshape(-1, D_FF)))
    )
    with torch.no_grad():
        for row in objective_of(memit, work, REQUEST).rows[: len(work.prefixes)]:
            model(input_ids=torch.tensor([row.ids]))
            keys[-1] = keys[-1][row.place]
    handle.remove()
    averaged = (keys[0] + torch.stack(keys[1:]).mean(dim=0)) / 2
    assert float(averaged @ update.left[:, 0]) == pytest.approx(1, rel=1e-5)
    assert float(keys[0] @ update.left[:, 0]) != pytest.approx(1, rel=1e-2)


def test_facts_with_overlapping_keys_are_written_together_not_one_by_one() -> None:
    """Two objects for subjects whose keys are alike: alone, each claims what they share; together, they split it."""
    model, tok = tiny_model("gpt2")
    requests = [Request("Marie Curie", "{} is a citizen of", "Poland"), Request("Eve Curie", "{} is from", "Japan")]
    memit, work = Memit(config(layers=(1,), moment_weight=EXACT)), bench(model, tok, (1,), prefixes=("",))
    alone = [computed.delta.updates[0] for computed in memit.compute(work, requests)]
    (joint,) = written(memit.config, work, requests).delta.updates
    with frozen(model):
        keys, _ = memit._measured(work, [objective_of(memit, work, request) for request in requests], 1, [], 1)
    one_by_one = torch.cat([update.left for update in alone], dim=1)
    overlap = keys @ one_by_one  # (edits, edits)
    assert float(overlap[0, 1].abs()) > 0.1
    assert torch.allclose(keys @ joint.left, torch.eye(2), atol=1e-4)
    assert relative(joint.left, one_by_one.double()) > 0.05


def test_heavier_old_keys_leave_a_smaller_change() -> None:
    model, tok = tiny_model("gpt2")
    sizes = []
    for weight in (EXACT, 10.0, 1e4):
        delta = written(config(moment_weight=weight), bench(model, tok, BAND), REQUESTS).delta
        sizes.append(sum(delta.norms(model).values()))
    assert sizes[0] > 1.5 * sizes[1] > 15 * sizes[2] > 0


@pytest.mark.parametrize("family", EDITABLE)
def test_every_family_is_edited_and_left_as_it_was(family) -> None:
    model, tok = tiny_model(family)
    model.train()
    anatomy = anatomy_of(model)
    anatomy.weight(model, 1).requires_grad_(False)
    before = state_of(model)
    computed = written(config(weight_decay=0.0), bench(model, tok, BAND), REQUESTS)
    assert state_of(model) == before
    assert computed.delta.names == tuple(anatomy.weight_name(layer) for layer in BAND)
    assert computed.delta.rank == len(REQUESTS)
    assert all(losses[-1] < losses[0] for losses in computed.log["losses"])
    computed.delta.check_base(model)
    assert all(size > 0 for size in computed.delta.norms(model).values())


def test_a_norm_behind_the_mlp_is_refused_before_anything_runs() -> None:
    model, tok = tiny_model("gemma2")
    before = state_of(model)
    with pytest.raises(UnsupportedModel, match="gemma2.*post_feedforward_layernorm.*Use rome or glame"):
        Memit(config()).compute(bench(model, tok, BAND), [REQUEST])
    assert state_of(model) == before


def test_cases_share_the_search_for_z_and_nothing_else() -> None:
    model, tok = tiny_model("gpt2")
    memit, work = Memit(config()), bench(model, tok, BAND)
    cases = [REQUESTS[:1], REQUESTS[1:3], REQUESTS[3:]]
    shared = memit.together(work, [[(request, None) for request in case] for case in cases])
    for case, computed in zip(cases, shared, strict=True):
        alone = written(memit.config, work, case)
        assert computed.delta.rank == len(case)
        assert len(computed.log["losses"]) == len(case)
        assert computed.delta.base_hash == alone.delta.base_hash
        for one, other in zip(computed.delta.updates, alone.delta.updates, strict=True):
            assert relative(one.dense(), other.dense().double()) < 1e-4


def test_no_case_no_delta_and_a_case_without_edits_is_refused() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, BAND)
    assert Memit(config()).together(work, []) == []
    assert Memit(config()).compute(work, []) == []
    with pytest.raises(EditError, match="case 1 of 2 has no edit"):
        Memit(config()).together(work, [[(REQUEST, None)], []])


def test_one_seed_gives_one_delta_whatever_the_global_state() -> None:
    model, tok = tiny_model("mistral")
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(written(config(), bench(model, tok, BAND), REQUESTS))
    assert found[0].delta.id == found[1].delta.id
    assert found[0].log == found[1].log


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_may_have_switched_gradients_off(mode) -> None:
    model, tok = tiny_model("gpt2")
    work, memit = bench(model, tok, BAND), Memit(config())
    expected = written(memit.config, work, [REQUEST]).delta.id
    with mode():
        assert written(memit.config, work, [REQUEST]).delta.id == expected
        assert memit.compute(work, [REQUEST])[0].delta.id == expected


def test_the_manifest_says_how_it_came_about() -> None:
    model, tok = tiny_model("gpt2")
    computed = written(config(), bench(model, tok, BAND, seed=7), REQUESTS[:2])
    manifest = json.loads(json.dumps(computed.delta.manifest))
    assert (manifest["method"], manifest["seed"]) == ("memit", 7)
    assert MemitConfig.model_validate(manifest["settings"]) == config()
    assert manifest["losses"] == computed.log["losses"]
    assert len(manifest["losses"]) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_delta_of_one_edit_or_of_several_comes_back_from_a_folder(count, tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    delta = written(config(), bench(model, tok, BAND), REQUESTS[:count]).delta
    loaded = LowRankDelta.load(delta.save(tmp_path / "out"))
    assert loaded.id == delta.id
    for one, other in zip(loaded.updates, delta.updates, strict=True):
        assert torch.equal(one.left, other.left)
        assert torch.equal(one.right, other.right)


@pytest.mark.parametrize(
    ("request_", "layers", "error"),
    [
        (Request("Marie Curie", "{} is a citizen of", " "), BAND, TargetError),
        (Request("Marie Curie", "Marie Curie is a citizen of", "Poland"), BAND, PromptError),
        (REQUEST, (1, 3), NoSuchLayer),
    ],
)
def test_impossible_requests_leave_no_trace(request_, layers, error) -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    with pytest.raises(error):
        written(config(layers=layers), bench(model, tok, layers), [REQUEST, request_])
    assert state_of(model) == before


@pytest.mark.parametrize("layers", [(), (2, 1), (1, 1)])
def test_a_band_that_means_nothing_is_refused(layers) -> None:
    with pytest.raises(ValidationError, match="layers"):
        config(layers=layers)


def test_the_defaults_are_the_published_ones() -> None:
    assert MemitConfig(layers=(13, 14, 15, 16, 17)).model_dump() == {
        "layers": (13, 14, 15, 16, 17),
        "steps": 20,
        "learning_rate": 0.5,
        "weight_decay": 0.5,
        "clamp": 0.75,
        "kl_weight": 0.0625,
        "stop_loss": 0.05,
        "moment_weight": 20000.0,
        "constraint": "moment",
        "null_threshold": 0.02,
        "key_ridge": 0.0,
        "earlier_keys": False,
        "anchor": 0.0,
        "forward_replay": False,
        "early_stop": 0,
        "merge_subjects": False,
        "ending": "",
        "gate": None,
        "outliers": None,
        "prefixes": "5x10+10x10",
        "prefix_seeds": "words",
        "moment_ridge": 1e-6,
    }


def test_a_write_that_hardly_changes_anything_names_the_setting_and_a_value_that_does() -> None:
    """With the identity for C the published weight changes next to nothing; the advice must work."""
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, BAND)
    weak = written(config(moment_weight=20000.0), work, [REQUEST])
    (note,) = weak.notes
    assert weak.log["reached"][0] < 0.05
    found = re.search(r"% of the way .*: moment_weight 20000 .*try memit:moment_weight=(\S+)$", note)
    assert found
    better = written(config(moment_weight=float(found[1])), work, [REQUEST])
    assert better.notes == ()
    assert better.log["reached"][0] > 0.8


def test_the_note_names_the_ridge_where_that_weighs_more() -> None:
    model, tok = tiny_model("gpt2")
    weak = written(config(moment_weight=1e-3, key_ridge=5000.0), bench(model, tok, BAND), [REQUEST])
    assert "key_ridge 5000 holds" in weak.notes[0]
    assert "try memit:key_ridge=" in weak.notes[0]
