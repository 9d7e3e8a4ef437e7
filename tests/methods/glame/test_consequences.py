"""What must follow from an edit and what must stay, as prompts: only what the model itself recalls can follow."""

from __future__ import annotations

import pytest

from families import tiny_model
from kg_cache.bundled import bundled_store
from kgedit.graph.subgraph import build_subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.methods.base import Request
from kgedit.methods.glame.consequences import (
    MOST_LONGER_WALKS,
    associated_paths,
    longer_walks,
    made,
    onward_facts,
    other_facts,
    recalled_facts,
)
from methods.benches import graph_of, recalled

TEXT = Verbalizer.bundled()


@pytest.fixture(scope="module")
def gpt2():
    return tiny_model("gpt2")


def usable(model, tok, middle: str) -> dict[str, str]:
    """Facts that the model recalls and that can follow from a citizenship."""
    return {r: label for r, label in recalled(model, tok, middle).items() if TEXT.composable(("P27", r))}


def test_a_fact_that_the_model_recalls_becomes_prompts_about_the_subject(gpt2) -> None:
    known = usable(*gpt2, "Japan")
    assert len(known) > 2
    found = associated_paths(*gpt2, graph_of("Marie Curie", "P27", "Japan", known), TEXT)
    assert found == [
        (template, label) for relation, label in known.items() for template in TEXT.edit_wordings(("P27", relation))
    ]
    for template, _ in found:
        assert "country of citizenship of {}" in template


def test_what_the_model_does_not_recall_does_not_follow(gpt2) -> None:
    known = usable(*gpt2, "Japan")
    relation, label = next(iter(known.items()))
    wrong = dict.fromkeys(known, "Copenhagen")
    assert associated_paths(*gpt2, graph_of("Marie Curie", "P27", "Japan", wrong), TEXT) == []
    # The graph also names other objects: only the recalled one counts.
    mixed = wrong | {relation: label}
    found = associated_paths(*gpt2, graph_of("Marie Curie", "P27", "Japan", mixed), TEXT)
    assert {obj for _, obj in found} == {label}


def test_relations_without_wordings_and_steps_back_do_not_follow(gpt2) -> None:
    model, tok = gpt2
    assert "P54" not in TEXT
    answers = recalled(model, tok, "Japan")
    assert associated_paths(model, tok, graph_of("Marie Curie", "P27", "Japan", {"P54": "is"}), TEXT) == []
    assert associated_paths(model, tok, graph_of("Marie Curie", "P54", "Japan", answers), TEXT) == []
    # "the spouse of the spouse of" leads back to the subject.
    married = {"P26": recalled(model, tok, "Paris").get("P26", "is")}
    assert associated_paths(model, tok, graph_of("Marie Curie", "P26", "Paris", married), TEXT) == []


def test_a_graph_without_facts_of_the_object_asks_for_nothing(gpt2) -> None:
    assert associated_paths(*gpt2, graph_of("Marie Curie", "P27", "Japan", {}), TEXT) == []


def test_labels_that_cannot_be_written_or_do_not_fit_are_passed_over() -> None:
    model, tok = tiny_model("gpt2", tokenizer="unigram")
    known = {r: label for r, label in usable(model, tok, "Japan").items() if r not in ("P37", "P38")}
    odd = {"P38": "東京", "P37": "Danish " * 200} | known
    expected = associated_paths(model, tok, graph_of("Marie Curie", "P27", "Japan", known), TEXT)
    assert expected
    assert associated_paths(model, tok, graph_of("Marie Curie", "P27", "Japan", odd), TEXT) == expected


def test_other_facts_are_one_of_each_relation_that_has_wordings() -> None:
    own = {"P106": "physicist", "P54": "nothing", "P19": "Ulm"}
    found = other_facts(graph_of("Marie Curie", "P27", "Japan", {}, own), TEXT)
    statement, question = TEXT.edit_wordings(("P106",))[0], TEXT.edit_wordings(("P19",))[1]
    assert found == [(statement, "physicist"), (question, "Ulm")]  # in turns
    assert all(template.count("{}") == 1 for template, _ in found)


def test_of_the_other_facts_only_recalled_ones_can_be_lost(gpt2) -> None:
    known = dict(list(usable(*gpt2, "Marie Curie").items())[:2])
    (first, label), (second, _) = known.items()
    own = known | {second: "Copenhagen"}  # not what the model says
    graph = graph_of("Marie Curie", "P27", "Japan", {}, own)
    statement, question = TEXT.edit_wordings((first,))
    assert recalled_facts(*gpt2, graph, TEXT) == [(statement, label), (question, label)]
    # Facts that the model does not have are not held in their place.
    changes = {("Marie Curie", first): "Copenhagen"}
    assert recalled_facts(*gpt2, graph, TEXT, changes) == []


def test_on_real_facts_the_edited_relation_is_not_among_those_that_stay() -> None:
    """Albert Einstein becomes a citizen of France: his birthplace stays, his citizenships do not."""
    graph = build_subgraph(bundled_store(), "Q937", "P27", "Q142")
    facts = other_facts(graph, TEXT)
    assert "Ulm" in {label for _, label in facts}
    assert not {template for template, _ in facts} & set(TEXT["P27"].cloze)
    assert len({template for template, _ in facts}) == len(facts)


CITIZEN = Request("Marie Curie", "{} is a citizen of", "Japan", "P27")
CAPITAL = Request("Japan", "The capital of {} is", "Kyoto", "P36")
MAYOR = Request("Kyoto", "The head of government of {} is", "Niels Bohr", "P6")


def walks(gpt2, case, start: int = 0):
    return longer_walks(case[start][0], onward_facts(*gpt2, case, TEXT), made(case), TEXT)


def test_walks_over_three_edits_are_asked_for_whole(gpt2) -> None:
    """Citizen of Japan, whose capital is now Kyoto, whose mayor is now Niels Bohr: the mayor of the capital of ..."""
    case = [(CITIZEN, None), (CAPITAL, None), (MAYOR, None)]
    assert walks(gpt2, case) == [(template, "Niels Bohr") for template in TEXT.edit_wordings(("P27", "P36", "P6"))]
    assert walks(gpt2, case, start=1) == []  # two hops are `associated_paths`' part
    assert walks(gpt2, case, start=2) == []
    # Without the last edit nothing says who the mayor is; without the middle one nothing leads there.
    assert walks(gpt2, case[:2]) == []
    assert walks(gpt2, [case[0], case[2]]) == []


def test_walks_go_on_over_what_the_model_recalls_and_over_nothing_else(gpt2) -> None:
    known = {r: o for r, o in recalled(*gpt2, "Kyoto").items() if TEXT.composable(("P27", "P36", r))}
    assert len(known) > 2
    graph = graph_of("Japan", "P36", "Kyoto", known)
    case = [(CITIZEN, None), (CAPITAL, graph)]
    assert dict(walks(gpt2, case)) == {
        template: obj for r, obj in list(known.items())[:MOST_LONGER_WALKS]
        for template in TEXT.edit_wordings(("P27", "P36", r))
    }  # fmt: skip
    wrong = graph_of("Japan", "P36", "Kyoto", dict.fromkeys(known, "Copenhagen"))
    assert walks(gpt2, [(CITIZEN, None), (CAPITAL, wrong)]) == []


def test_walks_over_most_changes_come_first_and_none_returns(gpt2) -> None:
    known = {r: o for r, o in recalled(*gpt2, "Kyoto").items() if TEXT.composable(("P27", "P36", r)) and r != "P6"}
    home = Request("Kyoto", "{} is named after", "Japan", "P138")
    case = [(CITIZEN, None), (CAPITAL, graph_of("Japan", "P36", "Kyoto", known)), (MAYOR, None), (home, None)]
    found = walks(gpt2, case)
    assert found[:2] == [(template, "Niels Bohr") for template in TEXT.edit_wordings(("P27", "P36", "P6"))]
    assert "Japan" not in {obj for _, obj in found}
    assert 2 < len(found) <= 2 * MOST_LONGER_WALKS


def test_a_single_edit_has_no_walks_beyond_its_own_graph(gpt2) -> None:
    graph = graph_of("Marie Curie", "P27", "Japan", usable(*gpt2, "Japan"))
    assert walks(gpt2, [(CITIZEN, graph)]) == []
