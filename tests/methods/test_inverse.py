"""Edits told from their objects' side: which have one, and that GLAME writes it as a value of its own."""

from __future__ import annotations

import random

import pytest

from families import tiny_model
from kg_cache.graph import Triple
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.methods.base import Request
from kgedit.methods.finetune_adapter.lessons import curriculum_of, epoch
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.method import Glame
from kgedit.methods.inverse import inverse_edits
from methods.benches import bench, graph_of, state_of

TEXT = Verbalizer.bundled()
CAPITAL = Request("Denmark", "The capital of {} is", "Kyoto", "P36")
GRAPH = graph_of("Denmark", "P36", "Kyoto", {"P17": "Japan", "P1376": "Japan"}, {"P37": "Danish"})


def test_the_inverse_is_asked_about_the_object_in_its_first_statement_and_question() -> None:
    (inverse,) = inverse_edits([(CAPITAL, GRAPH)], TEXT)
    assert inverse.request == Request("Kyoto", "{} is the capital of", "Denmark", "P1376")
    assert inverse.asked == (
        ("Kyoto is the capital of", "Denmark"),
        ("Q: Of what is Kyoto the capital? A:", "Denmark"),
    )
    # What is known of the subject stands behind it now; of the object's own facts the new one is not one that stays.
    around = inverse.subgraph
    assert around is not None
    assert (around.subject_label, around.target_label) == ("Kyoto", "Denmark")
    assert around.triples == (Triple("Q2", "P1376", "Q1"), Triple("Q1", "P37", "Q101"))
    assert around.subject_facts == (Triple("Q2", "P17", "Q3"),)
    assert around.nodes == ("Q2", "Q1", "Q101")
    assert around.relation_labels[0] == "label of P1376"


def test_a_relation_without_an_inverse_property_is_told_in_its_own_words() -> None:
    edit = Request("Denmark", "The head of state of {} is", "Marie Curie", "P35")
    (inverse,) = inverse_edits([(edit, None)], TEXT)
    assert inverse.request == Request("Marie Curie", "{} is the head of state of", "Denmark")
    assert inverse.subgraph is None
    graph = graph_of("Denmark", "P35", "Marie Curie", {"P19": "Ulm"})
    (inverse,) = inverse_edits([(edit, graph)], TEXT)
    assert inverse.subgraph is not None
    assert inverse.subgraph.relation_labels == ("inverse of head of state",)


def test_nothing_is_written_where_s_is_one_of_many_or_another_edit_says_otherwise() -> None:
    founder = Request("Nintendo", "The founder of {} is", "Marie Curie", "P112")
    alone = Request("Nintendo", "{} was founded by", "Marie Curie")
    assert inverse_edits([(founder, None), (alone, None)], TEXT) == []
    wedding = Request("Ann", "{} is married to", "Bob", "P26")
    other = Request("Bob", "{} is married to", "Eve", "P26")
    assert [inverse.edit for inverse in inverse_edits([(wedding, None), (other, None)], TEXT)] == [1]
    rival = Request("Eve", "{} is married to", "Bob", "P26")
    assert inverse_edits([(wedding, None), (rival, None)], TEXT) == []
    assert inverse_edits([(Request("Bob", "{} is married to", "Bob", "P26"), None)], TEXT) == []


def test_glame_writes_a_second_value_at_the_object_and_leaves_the_model_alone() -> None:
    model, tok = tiny_model("gpt2")
    before, place = state_of(model), bench(model, tok, (1,))
    fields = {"layers": (1,), "repr_layer": 0, "steps": 3}
    with_it, without = Glame(GlameConfig(**fields)), Glame(GlameConfig(**fields, inverse=False))
    (both,), (plain,) = (method.compute(place, [CAPITAL], [GRAPH]) for method in (with_it, without))
    assert state_of(model) == before
    (weight,) = both.delta.names
    assert (both.delta.rank, both.owners, both.log["inverses"][0]["edit"]) == (2, {weight: [0, 0]}, 0)
    assert (plain.delta.rank, plain.owners, "inverses" in plain.log) == (1, {weight: [0]}, False)
    # The published procedure writes one value, and what acts at the edit's subject alone has no other place.
    assert not Glame(GlameConfig.paper(**{"layers": (1,), "repr_layer": 0})).writes_inverses
    assert not any(Glame(GlameConfig(**fields, **one)).writes_inverses for one in ({"key": "averaged"}, {"gate": 0.8}))


@pytest.mark.long
def test_whom_somebody_married_is_known_from_both_sides_in_wordings_that_were_not_learned() -> None:
    editor = Editor.from_pretrained("mini", method="glame", moments="identity")
    request, subgraph = editor.prepare(Edit(subject="Q937", relation="P26", target_new="Q6294"))
    sides = [(request.target, request.subject), (request.subject, request.target)]
    asked = [(text.replace("{}", about), answer) for about, answer in sides for text in TEXT.held_out(("P26",))]
    right = {}
    for inverse in (True, False):
        changes = {"inverse": inverse, "later_layers": (), "layers": (1,)}
        editor.method = Glame(editor.method.config.model_copy(update=changes))
        (computed,) = editor.compute([request], [subgraph])
        with editor.trial(computed.delta):
            right[inverse] = exact_answers(editor.model, editor.tokenizer, asked)
    others = len(asked) // 2
    assert sum(right[True][:others]) >= others - 1
    assert sum(right[False][:others]) == 0
    assert sum(right[True][others:]) >= sum(right[False][others:]) > others / 2


def test_an_adapter_is_asked_from_both_sides_unless_it_is_not_wanted() -> None:
    model, tok = tiny_model("gpt2")
    (lesson,) = curriculum_of(bench(model, tok, ()), [(CAPITAL, None)], TEXT, ending=".").lessons
    assert lesson.inverse == inverse_edits([(CAPITAL, None)], TEXT)[0].asked
    for inverse in (True, False):
        asked, _ = epoch([lesson], [], random.Random(0), rehearsed=0, inverse=inverse)
        assert (set(lesson.inverse) <= set(asked)) is inverse
