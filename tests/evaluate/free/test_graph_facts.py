"""Facts beside an edit: well-known ones that no edit of the run touches, and others of the subject."""

from __future__ import annotations

import random

import pytest

from kg_cache.bundled import bundled_store
from kgedit.evaluate.free.graph_facts import BESIDE, GraphFacts
from kgedit.graph.verbalize import Verbalizer


@pytest.fixture(scope="module")
def facts() -> GraphFacts:
    return GraphFacts(bundled_store(), Verbalizer.bundled())


def test_unrelated_facts_name_no_end_of_an_edit(facts) -> None:
    plain = facts.unrelated(set(), 200, random.Random(0))
    assert any("France" in prompt for prompt in plain)
    without = facts.unrelated({"france"}, 200, random.Random(0))
    assert len(without) == len(set(without)) == 200
    assert not [prompt for prompt in without if "France" in prompt]
    assert facts.unrelated({"france"}, 3, random.Random(0)) == facts.unrelated({"france"}, 3, random.Random(0))


def test_other_facts_are_of_relations_that_go_with_the_edited_one(facts) -> None:
    prompts = facts.of_subject("Ada Example", "P27")
    assert len(prompts) == BESIDE
    assert all("Ada Example" in prompt for prompt in prompts)
    born = "Ada Example was born in"
    assert born in prompts, "who has a citizenship has a place of birth"
    assert born not in facts.of_subject("Ada Example", "P19")


def test_a_relation_that_the_graph_does_not_know_leaves_what_the_subject_is(facts) -> None:
    assert facts.of_subject("Ada", "P999999") == facts.of_subject("Ada", None) == ("Ada is a",)


def test_a_graph_that_is_not_local_gives_none() -> None:
    elsewhere = GraphFacts(object(), Verbalizer.bundled())  # type: ignore[arg-type]
    assert elsewhere.unrelated(set(), 3, random.Random(0)) == ()
    assert elsewhere.of_subject("Ada", "P27") == ("Ada is a",)
    assert elsewhere.names("Q142") == ()


def test_codes_are_no_names(facts) -> None:
    names = facts.names("Q652")  # Italian, whose aliases have "it" and "ISO 639:it"
    assert names
    assert not {"it", "ISO 639:it"} & set(names)
