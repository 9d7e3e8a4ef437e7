"""Search while somebody types: beginnings of names and of words in them, by the index."""

from __future__ import annotations

from kg_cache.graph import Entity
from kg_cache.search import search_items
from kg_cache.store import Store


def test_beginnings_of_labels_and_aliases_are_found_with_what_the_item_is(filled: Store) -> None:
    (einstein,) = search_items(filled, "alb")
    assert einstein[:3] == ("Q937", "Albert Einstein", "Albert Einstein")
    assert "physicist" in einstein.description
    assert [found.matched for found in search_items(filled, "deut")] == ["Deutschland"]


def test_a_later_word_and_an_id_are_found(filled: Store) -> None:
    filled.add(entities=[Entity(id="Q1", label="New York City"), Entity(id="Q2", label="Yorkshire")], source="test")
    assert [found.id for found in search_items(filled, "york")] == ["Q1", "Q2"]
    assert [found.id for found in search_items(filled, " Q937 ")] == ["Q937"]
    assert search_items(filled, "Q4") == search_items(filled, "  ") == search_items(filled, "nothing") == []


def test_a_whole_name_comes_before_beginnings_and_signs_are_letters(filled: Store) -> None:
    filled.add(entities=[Entity(id="Q3", label="Bern%"), Entity(id="Q4", label="Be_rn")], source="test")
    assert [found.label for found in search_items(filled, "bern")] == ["Bern", "Bern%"]
    assert [found.label for found in search_items(filled, "%")] == []


def test_what_is_typed_is_looked_up_in_the_index(filled: Store) -> None:
    plan = filled.database.rows(
        "EXPLAIN QUERY PLAN SELECT entity FROM name WHERE folded BETWEEN ? AND ? ORDER BY folded LIMIT 9",
        ("a", "b"),
    )
    assert "name_folded" in str(plan)
