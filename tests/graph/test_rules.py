"""Rules over two facts: which a graph has, and what follows from an edit by them; all counted by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kg_cache.graph import Triple
from kg_cache.store import Store
from kgedit.graph.rules import Implied, Rule, implied_facts, mine_rules
from kgedit.graph.verbalize import Verbalizer

Made = Callable[[str], Store]
TEXT = Verbalizer.bundled()

# Born in Q10 or Q11, which lie in Q100, or in Q12, which lies in Q101. One of the five is no citizen of that country.
BORN = "Q1 P19 Q10; Q2 P19 Q10; Q3 P19 Q11; Q4 P19 Q12; Q5 P19 Q12"
CITIZENS = "Q1 P27 Q100; Q2 P27 Q100; Q3 P27 Q100; Q4 P27 Q101; Q5 P27 Q100"
PLACES = "Q10 P17 Q100; Q11 P17 Q100; Q12 P17 Q101; Q13 P17 Q102"
WORLD = f"{BORN}; {CITIZENS}; {PLACES}"
BIRTH = Rule("P19", "P17", "P27", 5, 0.8)


def named_graph(make_graph: Made, text: str) -> Store:
    """The graph with a label for each item: "item 7" for Q7."""
    from kg_cache.graph import Entity

    graph = make_graph(text)
    items = sorted({end for triple in graph.triples() for end in (triple.subject, triple.object)})
    graph.add([], source="test", entities=[Entity(id=item, label=f"item {item[1:]}") for item in items])
    return graph


def follows(graph: Store, edit: str, old: str | None = None, rules: tuple[Rule, ...] = (BIRTH,)) -> list[str]:
    return [" ".join(one.fact) for one in implied_facts(graph, rules, Triple(*edit.split()), old)]


def test_a_rule_is_counted_where_all_three_facts_are_stated(make_graph: Made) -> None:
    triples = list(make_graph(WORLD).triples())
    assert mine_rules(triples, TEXT, least_support=5, least_confidence=0.8) == (BIRTH,)
    assert mine_rules(triples, TEXT, least_support=6, least_confidence=0.8) == ()
    assert mine_rules(triples, TEXT, least_support=5, least_confidence=0.81) == ()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("Q1 P27 Q101; Q2 P27 Q101", "who is a citizen of two countries says nothing of either"),
        ("Q10 P17 Q101", "a place in two countries leads nowhere"),
    ],
)
def test_facts_with_several_objects_are_no_evidence(make_graph: Made, more: str, why: str) -> None:
    """Of the five cases two are lost each time."""
    (rule,) = mine_rules(make_graph(f"{WORLD}; {more}").triples(), TEXT, least_support=1, least_confidence=0.6)
    assert (rule.support, rule.confidence) == (3, pytest.approx(2 / 3)), why


def test_the_way_back_is_no_rule(make_graph: Made) -> None:
    """The capital of what it is the capital of: only relations that lead on are composed."""
    graph = make_graph("Q1 P36 Q2; Q2 P1376 Q1; Q3 P36 Q4; Q4 P1376 Q3")
    assert mine_rules(graph.triples(), TEXT, least_support=1, least_confidence=0.01) == ()


def test_what_followed_from_the_old_object_follows_from_the_new_one(make_graph: Made) -> None:
    both = "Q7 P19 Q14; Q14 P17 Q100; Q14 P17 Q101; Q7 P27 Q100; Q7 P27 Q101"
    graph = named_graph(make_graph, f"{WORLD}; Q6 P19 Q10; {both}")
    (found,) = implied_facts(graph, [BIRTH], Triple("Q1", "P19", "Q13"), None)
    assert found == Implied(Triple("Q1", "P27", "Q102"), "item 1", "item 102", "Q100", BIRTH)
    assert found.slot == ("Q1", "P27")
    assert follows(graph, "Q1 P19 Q13", "Q10") == follows(graph, "Q1 P19 Q13")
    assert follows(graph, "Q5 P19 Q13") == [], "who was no citizen of the country of birth stays what they were"
    assert follows(graph, "Q1 P19 Q11") == [], "the same country: nothing changes"
    assert follows(graph, "Q6 P19 Q13") == ["Q6 P27 Q102"], "nothing is stated that it could contradict"
    assert follows(graph, "Q7 P19 Q13") == [], "of two citizenships none is the one that followed"
    assert follows(graph, "Q1 P20 Q13") == [], "no rule begins with the place of death"
    assert follows(graph, "Q1 P19 Q404") == [], "nothing is known of the new object"


def test_an_edit_of_the_second_fact_reaches_those_that_lead_to_it(make_graph: Made) -> None:
    """Q12 is moved to another country: Q4, born there and a citizen, with it; Q5 never was one."""
    graph = named_graph(make_graph, WORLD)
    assert follows(graph, "Q12 P17 Q102") == ["Q4 P27 Q102"]
    assert follows(graph, "Q12 P17 Q102", "Q100") == ["Q5 P27 Q102"], "the caller knows what held before"
    many = "; ".join(f"Q{n} P19 Q12; Q{n} P27 Q101" for n in range(200, 220))
    assert len(follows(named_graph(make_graph, f"{WORLD}; {many}"), "Q12 P17 Q102")) == 8


def test_of_two_rules_for_one_fact_the_surer_one_has_the_say(make_graph: Made) -> None:
    graph = named_graph(make_graph, f"{WORLD}; Q13 P1376 Q101; Q10 P1376 Q100")
    other = Rule("P19", "P1376", "P27", 5, 0.7)
    assert follows(graph, "Q1 P19 Q13", rules=(BIRTH, other)) == ["Q1 P27 Q102"]
    assert follows(graph, "Q1 P19 Q13", rules=(other, BIRTH)) == ["Q1 P27 Q101"]


def test_an_item_without_a_name_is_not_told(make_graph: Made) -> None:
    assert follows(make_graph(WORLD), "Q1 P19 Q13") == []
