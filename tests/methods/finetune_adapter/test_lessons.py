"""What an adapter is trained on, and what each pass asks of it."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from families import tiny_model
from kgedit.errors import EditError
from kgedit.graph.verbalize import Verbalizer
from kgedit.methods.base import Request
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.finetune_adapter.lessons import (
    curriculum_of,
    either_spelling,
    encoded,
    epoch,
    with_texts,
    wordings_of,
)
from kgedit.methods.invented import invented_texts
from methods.benches import bench, graph_of

TEXT = Verbalizer.bundled()


def test_each_pass_asks_the_change_what_follows_and_other_facts_in_a_seeded_order() -> None:
    lesson = Lesson((("edit", "o"), ("w1", "o"), ("w2", "o"), ("w3", "o")), (("p", "x"),), (("n", "y"),))
    facts = [((f"q{n}", f"Town{n}"), (f"r{n}", f"Town{n}")) for n in range(9)]
    new, stays = asked = epoch([lesson], facts, random.Random(0), rehearsed=4)
    assert asked == epoch([lesson], facts, random.Random(0), rehearsed=4)
    assert asked != epoch([lesson], facts, random.Random(1), rehearsed=4)
    assert {("edit", "o"), ("p", "x")} <= set(new)
    assert len(new) == 1 + 2 + 1
    assert ("n", "y") in stays
    assert len([pair for pair in stays if pair[1].startswith("Town")]) == 4 == len(stays) - 1


def test_the_edit_prompt_comes_first_and_no_wording_twice() -> None:
    own = wordings_of(Request("Peru", "The seat of {} is", "Lyon", "P36"), TEXT)
    assert own[0] == ("The seat of Peru is", "Lyon")
    assert len(set(own)) == len(own) > 3
    assert wordings_of(Request("Peru", "The seat of {} is", "Lyon"), TEXT) == own[:1]
    first = wordings_of(Request("Peru", TEXT["P36"].cloze[0], "Lyon", "P36"), TEXT)
    assert set(first) == set(own[1:])


def test_without_a_supplier_the_subgraph_says_what_follows(monkeypatch) -> None:
    """The paths of facts that the model recalls; a model that recalls nothing gives wordings alone."""
    model, tok = tiny_model("gpt2")
    graph = graph_of("Marie Curie", "P27", "Poland", {"P36": "Tokyo"})
    request = Request("Marie Curie", "{} is a citizen of", "Poland", "P27")
    (lesson,) = curriculum_of(bench(model, tok, ()), [(request, graph)], TEXT, ending=".").lessons
    assert (lesson.wordings, lesson.paths, lesson.around) == (wordings_of(request, TEXT), (), ())
    for module in ("glame.consequences", "finetune_adapter.lessons"):
        right = [SimpleNamespace(exact=True)]
        monkeypatch.setattr(f"kgedit.methods.{module}.score_rows", lambda model, rows, right=right: right * len(rows))
    (lesson,) = curriculum_of(bench(model, tok, ()), [(request, graph)], TEXT, ending=".").lessons
    assert {answer for _, answer in lesson.paths} == {"Tokyo"}
    assert all("Marie Curie" in prompt for prompt, _ in (*lesson.paths, *lesson.around))


def test_known_facts_are_rehearsed_and_those_of_the_same_relation_stand_around_the_edit() -> None:
    request = Request("Peru", "The seat of {} is", "Lyon", "P36")
    capitals = [Request(f"Land{n}", "The capital of {} is", f"Town{n}", "P36") for n in range(7)]
    others = [Request("Ann", "{} is a citizen of", "Peru", "P27"), Request("Peru", "{} lies in", "Asia", "P30")]
    changed = Request("Peru", "The capital of {} is", "Lima", "P36")
    place = bench(*tiny_model("gpt2"), (), known_facts=[*capitals, *others, changed])
    told = curriculum_of(place, [(request, None)], TEXT, ending=".")
    assert told.facts == tuple(wordings_of(fact, TEXT) for fact in [*capitals, *others])
    around = told.lessons[0].around
    answers = {prompt.removesuffix(" is").rpartition(" ")[2]: answer for prompt, answer in around}
    assert len(answers) == 5
    assert all(answers[f"Land{n}"] == f"Town{n}" for n in range(7) if f"Land{n}" in answers)
    assert {prompt.partition(" of ")[0] for prompt, _ in around} == {"The seat", "The capital"}


def test_texts_with_invented_attributes_are_asked_where_they_are_wanted() -> None:
    request = Request("Peru", "The seat of {} is", "Lyon", "P36")
    capitals = [Request(f"Land{n}", "The capital of {} is", f"Town{n}", "P36") for n in range(3)]
    place = bench(*tiny_model("gpt2"), (), known_facts=capitals)
    (lesson,) = curriculum_of(place, [(request, None)], TEXT, ending=".").lessons
    assert lesson.invented == invented_texts(request, [(fact.subject, fact.target) for fact in capitals], TEXT) != ()
    plain, _ = epoch([lesson], (), random.Random(0), rehearsed=0)
    assert not set(lesson.invented) & set(plain)
    asked, _ = epoch([lesson], (), random.Random(0), rehearsed=0, invented=2)
    assert len(set(lesson.invented) & set(asked)) == 2
    assert set(asked) - set(lesson.invented) == set(plain)


def test_general_texts_are_the_models_own_cut_behind_their_first_words() -> None:
    place = bench(*tiny_model("gpt2"), ())
    assert with_texts(place, Curriculum(()), 0) == Curriculum(())
    told = with_texts(place, Curriculum(()), 7)
    assert told == with_texts(place, Curriculum(()), 7)
    assert 0 < len(told.texts) <= 7
    assert all(len(begun.split()) == 2 and rest for begun, rest in told.texts)
    assert {begun.split()[0][:1] for begun, _ in told.texts} <= {"T", "B", "I", "Y"}, "they begin as prefixes do"


@pytest.mark.parametrize("target", [" ", ""])
def test_an_edit_that_cannot_be_written_is_refused(target) -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(EditError):
        curriculum_of(bench(model, tok, ()), [(Request("Nintendo", "{} is in", target), None)], TEXT, ending="")


def test_questions_that_do_not_fit_are_left_out() -> None:
    _, tok = tiny_model("gpt2")
    questions = [("Peru is in", "Asia"), ("Peru is in " * 40, "Asia"), ("Peru is in", " ")]
    assert len(list(encoded(tok, questions, "", longest=30))) == 1


def test_what_is_rehearsed_is_held_in_both_spellings_that_count_as_right() -> None:
    asked = [("Ada is a citizen of", "United States"), ("She speaks «", "French")] * 40
    # A model that goes on after a name may put an article before it, where a space stands.
    goes_on = SimpleNamespace(config=SimpleNamespace())
    spelt = either_spelling(goes_on, asked, random.Random(0))
    assert [prompt for prompt, _ in spelt] == [prompt for prompt, _ in asked]
    assert {answer for _, answer in spelt} == {"United States", "the United States", "French"}
    assert spelt == either_spelling(goes_on, asked, random.Random(0))
    # The bundled one gives the name alone.
    in_sentences = SimpleNamespace(config=SimpleNamespace(kgedit_answers="sentence"))
    assert either_spelling(in_sentences, asked, random.Random(0)) == asked
