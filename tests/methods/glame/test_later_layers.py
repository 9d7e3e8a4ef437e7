"""The write to later layers: which prompts reach an edited fact, and what writing at their last token does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from families import tiny_model
from kg_cache.graph import Triple
from kgedit import Edit, Editor
from kgedit.delta.low_rank import as_low_rank, columns
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_target, encode_text
from kgedit.methods.base import Request
from kgedit.methods.glame.config import GATE_NOTE, GlameConfig
from kgedit.methods.glame.consequences import LONGEST_WALK, made, onward_facts
from kgedit.methods.glame.later_layers import reaching_prompts
from kgedit.methods.glame.method import Glame
from methods.benches import Diagonal, bench, graph_of, recalled, state_of

TEXT = Verbalizer.bundled()
SINGLE = [relation for relation in TEXT.texts if TEXT[relation].single]


@pytest.fixture(scope="module")
def gpt2():
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def mini() -> Editor:
    return Editor.from_pretrained("mini", method="glame")


def oslo(mini: Editor) -> tuple[Request, Subgraph]:
    """Germany's capital becomes Oslo, and one company has its headquarters in Germany, as the model knows."""
    request, graph = mini.prepare(Edit(subject="Germany", relation="P36", target_new="Oslo"))
    assert graph is not None
    walk = next(w for w in graph.incoming_walks if len(w) == 1 and graph.labels[w[0].subject] == "Parlophone")
    assert walk[0].relation == "P159"
    return request, replace(graph, incoming_walks=(walk,))


def asked(mini: Editor, request: Request, graph: Subgraph | None, changes: dict | None = None):
    model, tok = mini.model, mini.tokenizer
    onward = onward_facts(model, tok, [(request, graph)], TEXT)
    changes = changes or made([(request, graph)])
    return list(reaching_prompts(model, tok, request, graph, onward, changes, TEXT, most=8).ends)


def test_each_end_has_prompts_of_its_own_that_do_not_name_the_subject(mini) -> None:
    """The headquarters' country has a new capital, and that capital lies in a country."""
    capital, country = asked(mini, *oslo(mini))
    assert capital == [("Parlophone", prompt, "Oslo") for prompt in TEXT.edit_wordings(("P159", "P36"))]
    assert country == [("Parlophone", prompt, "Norway") for prompt in TEXT.edit_wordings(("P159", "P36", "P17"))]


def test_what_the_model_does_not_know_or_another_edit_changes_leads_nowhere(mini) -> None:
    request, graph = oslo(mini)
    start = graph.incoming_walks[0][0].subject
    assert asked(mini, request, replace(graph, labels=graph.labels | {start: "Albert Einstein"})) == []
    assert asked(mini, request, graph, {("Parlophone", "P159"): "France"}) == []
    assert asked(mini, request, replace(graph, incoming_walks=())) == []
    assert asked(mini, request, None) == []


def test_walks_are_no_longer_than_the_fields_questions(mini) -> None:
    request, graph = mini.prepare(Edit(subject="Germany", relation="P36", target_new="Oslo"))
    hops = {one.prompt.count(" of ") for alike in asked(mini, request, graph) for one in alike}
    assert max(hops) <= LONGEST_WALK
    assert len({one.start for alike in asked(mini, request, graph) for one in alike}) > 5


def led_to(model, tok) -> tuple[Request, Subgraph, str]:
    """An edit whose subject the tiny model takes for a fact of Japan, its graph, and the relation that leads there."""
    knows = recalled(model, tok, "Japan")
    relation, second = next((r, s) for r in SINGLE if r in knows for s in SINGLE if TEXT.composable((r, s)))
    subject = knows[relation]
    graph = graph_of(subject, second, "Kyoto", {}, {"P106": "physics"})
    walk = (Triple("Q50", relation, "Q1"),)
    graph = replace(graph, incoming_walks=(walk,), labels=graph.labels | {"Q50": "Japan"})
    return Request(subject, TEXT[second].cloze[0], "Kyoto", second), graph, relation


def config(**kwargs: Any) -> GlameConfig:
    settings = {"layers": (0, 1), "repr_layer": 0, "steps": 8, "clamp": 20.0, "later_layers": (1, 2), "inverse": False}
    return GlameConfig.model_validate(settings | kwargs)


def run(model, tok, settings: GlameConfig, graph: Subgraph | None, request: Request, **kwargs: Any):
    method = Glame(settings)
    return method.compute(bench(model, tok, method.moment_layers, **kwargs), [request], [graph])[0]


def logprob(model, tok, prompt: str, answer: str) -> float:
    return sum(score_rows(model, [(encode_text(tok, prompt), encode_target(tok, answer))])[0].logprobs)


def test_the_write_to_later_layers_makes_the_answer_likely_where_the_subject_is_not_named(gpt2) -> None:
    model, tok = gpt2
    request, graph, relation = led_to(model, tok)
    prompts = [p.replace("{}", "Japan") for p in TEXT.edit_wordings((relation, request.relation))]
    found = {}
    before = state_of(model)
    for layers in ((), (1, 2)):
        computed = run(model, tok, config(later_layers=layers), graph, request)
        assert state_of(model) == before
        with computed.delta.apply(model):
            found[layers] = [logprob(model, tok, prompt, "Kyoto") for prompt in prompts]
        assert computed.log["multihop_prompts"] == (2 if layers else 0)
    assert all(deep > plain + 0.5 for deep, plain in zip(found[1, 2], found[()], strict=True))
    # The first write's two layers, and the second's: one column each, side by side where they meet.
    assert {name: update.rank for name, update in zip(computed.delta.names, computed.delta.updates, strict=True)} == {
        "transformer.h.0.mlp.c_proj.weight": 1,
        "transformer.h.1.mlp.c_proj.weight": 2,
        "transformer.h.2.mlp.c_proj.weight": 1,
    }


def test_what_is_asked_of_siblings_stays_where_they_are_held(gpt2) -> None:
    """Spain is of the subject's kind, and something leads to it: both questions in the wordings that are optimised."""
    model, tok = gpt2
    request, graph, relation = led_to(model, tok)
    sibling = (Triple("Q29", "P30", "Q46"), Triple("Q51", relation, "Q29"))
    graph = replace(
        graph,
        siblings=(sibling,),
        labels=graph.labels | {"Q29": "Spain", "Q51": "Norway", "P30": "continent", "Q46": "Asia"},
    )
    prompts = [p.replace("{}", "Norway") for p in TEXT.edit_wordings((relation, request.relation))]
    prompts += [p.replace("{}", "Spain") for p in TEXT.edit_wordings((request.relation,))]
    before = [logprob(model, tok, prompt, "Kyoto") for prompt in prompts]
    moved = {}
    for siblings in (0, 1):
        deep = run(model, tok, config(later_layers=(2,), later_ridge=1e-3, later_siblings=siblings), graph, request)
        plain = run(model, tok, config(later_layers=()), graph, request)
        for name, computed in (("deep", deep), ("plain", plain)):
            with computed.delta.apply(model):
                after = [logprob(model, tok, prompt, "Kyoto") for prompt in prompts]
            moved[name, bool(siblings)] = [abs(new - old) for new, old in zip(after, before, strict=True)]
    assert deep.log["multihop_prompts"] == 2
    loose, held, first = (sum(moved[key]) for key in (("deep", False), ("deep", True), ("plain", True)))
    assert held - first < 0.25 * (loose - first)


def test_each_edit_of_a_joint_write_takes_its_own_ends_along(gpt2) -> None:
    request, graph, _ = led_to(*gpt2)
    method, other = Glame(config()), replace(request, subject="Norway", target="Bergen")
    (computed,) = method.together(bench(*gpt2, method.moment_layers), [[(other, None), (request, graph)]])
    early, both, late = (f"transformer.h.{layer}.mlp.c_proj.weight" for layer in (0, 1, 2))
    assert computed.owners == {early: [0, 1], both: [0, 1, 1], late: [1]}
    joint = as_low_rank(computed.delta)
    plain, deep = columns(joint, computed.owners_among(2))
    assert (plain.names, deep.names) == ((early, both), (early, both, late))
    parts = {
        name: [part.updates[part.names.index(name)] for part in (plain, deep) if name in part.names]
        for name in joint.names
    }
    for update in joint.updates:
        assert torch.allclose(sum(part.dense() for part in parts[update.name]), update.dense(), atol=1e-5)


def test_where_nothing_leads_to_the_subject_there_is_no_write_to_later_layers(gpt2) -> None:
    request, graph, _ = led_to(*gpt2)
    alone = replace(graph, incoming_walks=())
    deep, plain = (run(*gpt2, config(later_layers=layers), alone, request).delta for layers in ((2,), ()))
    assert deep.names == plain.names
    assert deep.base_hash == plain.base_hash
    with deep.apply(gpt2[0]):  # refused where the base is that of matrices which are not written
        pass
    for ours, theirs in zip(deep.updates, plain.updates, strict=True):
        assert torch.equal(ours.left, theirs.left)
        assert torch.equal(ours.right, theirs.right)


def test_behind_a_gate_there_is_no_write_to_later_layers(gpt2) -> None:
    """Prompts that do not name the subject leave its gate shut: such a write could never act."""
    request, graph, _ = led_to(*gpt2)
    gated = run(*gpt2, config(gate=0.9), graph, request)
    assert gated.delta.names == run(*gpt2, config(later_layers=()), graph, request).delta.names
    assert gated.log["multihop_prompts"] == 0
    assert GATE_NOTE in gated.notes


class Interrupted(Diagonal):
    """A second moment whose last use is interrupted: the model has the first write in force then."""

    def __init__(self, d_ff: int, last: int) -> None:
        super().__init__(d_ff)
        self.left = last

    def solve(self, keys: Tensor) -> Tensor:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().solve(keys)


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_an_interrupted_write_to_later_layers_leaves_the_model_as_it_was(gpt2, last) -> None:
    model, tok = gpt2
    request, graph, _ = led_to(model, tok)
    before = state_of(model)
    width = model.config.n_inner or 4 * model.config.n_embd
    with pytest.raises(KeyboardInterrupt):  # two layers are solved for by the first write, two by the second
        run(model, tok, config(), graph, request, moment=Interrupted(width, last))
    assert state_of(model) == before


@pytest.mark.long  # on random weights: test_the_write_to_later_layers_makes_the_answer_likely_...
def test_on_real_weights_people_whom_no_prompt_named_follow_their_countrys_new_capital(mini) -> None:
    """The capital of the United States becomes Oslo; asked in wordings that no method optimises."""
    edit = Edit(subject="Q30", relation="P36", target_new="Oslo")
    request, graph = mini.prepare(edit)
    assert graph is not None
    named = {graph.labels[walk[0].subject] for walk in graph.incoming_walks}
    into = mini.graph.incoming(["Q30"], limit=100_000).triples
    citizens = [triple.subject for triple in into if triple.relation == "P27"][:400]
    labels = [label for label in mini.graph.labels(citizens).values() if label not in named][:60]
    questions = [prompt.replace("{}", label) for prompt in TEXT.held_out(("P27", "P36"))[:2] for label in labels]
    model, tok = mini.model, mini.tokenizer
    right = exact_answers(model, tok, [(prompt, "Washington, D.C.") for prompt in questions])
    known = [prompt for prompt, knows in zip(questions, right, strict=True) if knows]
    assert len(known) > 40
    rates = {}
    for layers in ((), (3, 4)):
        method = Glame(mini.method.config.model_copy(update={"later_layers": layers}))
        (computed,) = method.compute(mini.workbench, [request], [graph])
        with computed.delta.apply(model):
            new = exact_answers(model, tok, [(prompt, "Oslo") for prompt in known])
            assert exact_answers(model, tok, [(request.prompt.replace("{}", request.subject), "Oslo")]) == [True]
        rates[layers] = sum(new) / len(new)
    assert rates[()] < 0.1
    assert rates[3, 4] > 0.6


@pytest.mark.long  # on random weights: test_each_edit_of_a_joint_write_takes_its_own_ends_along
def test_on_real_weights_one_change_of_two_is_taken_out_with_its_ends(mini) -> None:
    """The capitals of two countries are written together; without one, questions through the other stay."""
    case = [
        mini.prepare(Edit(subject=at, relation="P36", target_new=new))
        for at, new in (("Q30", "Oslo"), ("Q142", "Q220"))
    ]
    model, tok, through = mini.model, mini.tokenizer, []
    for (request, graph), old in zip(case, ("Washington, D.C.", "Paris"), strict=True):
        ways = [walk[0] for walk in graph.incoming_walks if len(walk) == 1]
        paths = [(way, (way.relation, "P36")) for way in ways if TEXT.composable((way.relation, "P36"))]
        asked = [TEXT.edit_wordings(path)[0].replace("{}", graph.labels[way.subject]) for way, path in paths]
        right = exact_answers(model, tok, [(prompt, old) for prompt in asked])
        through.append([(prompt, request.target) for prompt, knows in zip(asked, right, strict=True) if knows])
    method = Glame(mini.method.config.model_copy(update={"later_walks": 6, "steps": 12}))
    (computed,) = method.together(mini.workbench, [case])
    for kept, part in enumerate(columns(as_low_rank(computed.delta), computed.owners_among(2))):
        with mini.trial(part):
            own, other = (sum(exact_answers(model, tok, through[number])) for number in (kept, 1 - kept))
        assert own > len(through[kept]) / 2 > 3, f"through what is kept: {own} of {len(through[kept])}"
        assert other < 2, f"through what is taken out: {other} of {len(through[1 - kept])}"
