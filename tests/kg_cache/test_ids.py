import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_cache.errors import InvalidId, KnowledgeGraphError
from kg_cache.graph import Entity, Relation
from kg_cache.ids import as_id, check_entity_id, check_relation_id, id_order
from kg_cache.store import Store

HOSTILE = [
    "", "Q", "Q0", "Q01", "q42", "42", "P31", "Q-1", "Q42 ", " Q42", "Q42\n", "Q1234567890123",
    "Q１２", "Q1２", "Q٣", "Q1 } UNION { ?s ?p ?o", "Q1>", "wd:Q1", "Q1\x00", "Q²",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_item_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidId, match="item id"):
        check_entity_id(text)


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[QP]\d+.*"))
def test_only_plain_ids_pass(text: str) -> None:
    for check, letter in ((check_entity_id, "Q"), (check_relation_id, "P")):
        try:
            assert check(text) == text
        except InvalidId:
            continue
        assert text.isascii()
        assert re.match(letter + r"[1-9][0-9]{0,11}\Z", text)


def test_a_model_checks_its_id() -> None:
    with pytest.raises(ValueError, match="no item id"):
        Entity(id="Q1 }", label="x")
    assert issubclass(InvalidId, KnowledgeGraphError)


def test_ids_are_ordered_by_number() -> None:
    assert sorted(["Q10", "Q9", "P7", "Q100"], key=id_order) == ["P7", "Q9", "Q10", "Q100"]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("http://www.wikidata.org/entity/Q937", "Q937"),
        ("https://www.wikidata.org/entity/Q937", "Q937"),
        ("<http://www.wikidata.org/entity/Q937>", "Q937"),
        ("https://www.wikidata.org/wiki/Q937", "Q937"),
        ("https://m.wikidata.org/wiki/Q937#P27", "Q937"),
        ("https://www.wikidata.org/wiki/Special:EntityData/Q937.json", "Q937"),
        ("https://www.wikidata.org/wiki/Property:P27", "P27"),
        ("http://www.wikidata.org/prop/direct/P27", "P27"),
        ("http://www.wikidata.org/prop/P27", "P27"),
        ("http://www.wikidata.org/prop/statement/P27", "P27"),
        ("wd:Q937", "Q937"),
        ("www.wikidata.org/wiki/Q937", "Q937"),
        ("//www.wikidata.org/entity/Q937", "Q937"),
        ("https://www.wikidata.org/wiki/Special:EntityPage/Q937", "Q937"),
        ("https://www.wikidata.org/w/index.php?title=Property:P27&action=history", "P27"),
        ("https://www.wikidata.org/wiki/Property%3AP27", "P27"),
        ("wdno:P27", "P27"),
        ("pqv:P580", "P580"),
        ("psn:P27", "P27"),
        ("wdt:P27", "P27"),
        ("p:P27", "P27"),
        (" Q937 ", "Q937"),
        ("Albert Einstein", "Albert Einstein"),
        ("http://www.wikidata.org/entity/statement/Q937-1234", "http://www.wikidata.org/entity/statement/Q937-1234"),
        ("http://example.org/entity/Q937", "http://example.org/entity/Q937"),
        ("wd:Q0", "wd:Q0"),
        ("Vitamin D:Q1 and more", "Vitamin D:Q1 and more"),
    ],
)
def test_an_id_is_known_in_every_spelling(text: str, id: str) -> None:
    assert as_id(text) == id


def test_a_name_may_be_an_address(store: Store) -> None:
    store.add([], [Entity(id="Q937", label="Albert Einstein")], relations=[Relation(id="P27", label="citizenship")])
    assert store.resolve("http://www.wikidata.org/entity/Q937").label == "Albert Einstein"
    assert store.resolve_relation("wdt:P27").label == "citizenship"
