"""The walk in turns: relations share the questions, and what touches found facts comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kgedit.evaluate.made.turns import TurnWalk
from kgedit.ingest.decide.recall_walk import CHUNK, KnownFact


def facts(relation: str, count: int, *, obj: str = "", prefix: str = "") -> list[KnownFact]:
    names = [(f"{prefix or relation}{number}", obj or f"{relation}o{number}") for number in range(count)]
    return [KnownFact(subject, relation, target, subject, target) for subject, target in names]


def walked(pool: list[KnownFact], most: int, right: Callable[[KnownFact], bool], seed: int = 0) -> list[KnownFact]:
    walk, asked = TurnWalk(pool, seed), []
    while len(asked) < most and (chunk := walk.next_chunk()):
        walk.answer(chunk, [right(fact) for fact in chunk])
        asked += chunk
    return asked


def test_relations_have_turns_however_many_facts_they_have() -> None:
    pool = facts("P1", 2000) + facts("P2", 100) + facts("P3", 10)
    asked = walked(pool, 2 * CHUNK, lambda fact: True)
    assert Counter(fact.relation for fact in asked) == {"P1": 59, "P2": 59, "P3": 10}
    assert len(set(asked)) == len(asked)
    assert asked == walked(pool, 2 * CHUNK, lambda fact: True)
    assert asked != walked(pool, 2 * CHUNK, lambda fact: True, seed=1)


def test_a_relation_of_which_nothing_is_found_leaves_its_turns_to_the_others() -> None:
    pool = facts("P1", 500) + facts("P2", 500)
    asked = walked(pool, 6 * CHUNK, lambda fact: fact.relation == "P2")
    assert Counter(fact.relation for fact in asked) == {"P1": CHUNK, "P2": 5 * CHUNK}


def test_enough_facts_with_one_object_are_enough() -> None:
    pool = facts("P1", 900, obj="USA") + facts("P1", 300, prefix="other")
    asked = walked(pool, 6 * CHUNK, lambda fact: fact.object == "USA")
    # No more of them than in the chunk in which the sixteenth was found; the others are asked for until it is in vain.
    assert sum(fact.object == "USA" for fact in asked) < 2 * CHUNK


def test_facts_of_found_objects_and_of_found_pairs_come_first() -> None:
    far, shared = facts("P1", 60, prefix="far"), facts("P1", 60, obj="Paris")
    onward = [KnownFact("Paris", "P2", "France", "Paris", "France")]
    pool = shared + far + onward + facts("P2", 400)
    walk = TurnWalk(pool, 0)
    first = walk.next_chunk(8)
    walk.answer(first, [fact.object == "Paris" for fact in first])
    assert any(fact.object == "Paris" for fact in first)
    second = walk.next_chunk(8)
    assert [fact.object for fact in second if fact.relation == "P1"] == ["Paris"] * 4
    assert onward[0] in first + second
