"""No text but a checked id reaches a query, and whatever the ids, a query keeps its template's shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

import pyoxigraph
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib.plugins.sparql import prepareQuery
from rdflib.plugins.sparql.parserutils import CompValue
from rdflib.term import Identifier, URIRef

from kg_cache import queries
from kg_cache.errors import InvalidId

Template = Callable[[Sequence[str]], str]
TEMPLATES: dict[str, Template] = {
    "claims": lambda ids: queries.claims(ids, 100),
    "claim_count": lambda ids: queries.claim_count(ids[0]),
    "names": lambda ids: queries.names(ids, ["de", "en", "mul"]),
    "presence": queries.presence,
}
ITEMS = st.integers(1, 10**12 - 1).map(lambda number: f"Q{number}")
HOSTILE = (
    st.text()
    | st.sampled_from(["Q1 } UNION { ?s ?p ?o", "Q１２", "Q1\n", "Q1>", "Q1 wd:Q2", "Q1#", "wd:Q1", "P31", "L1"])
    | st.tuples(ITEMS, st.text(min_size=1)).map("".join)
).filter(lambda text: not re.fullmatch(r"[QP][1-9][0-9]{0,11}", text))


def shape(node: object) -> object:
    """The algebra of a query, with every entity's address written as one word."""
    if isinstance(node, CompValue):
        return node.name, {key: shape(value) for key, value in node.items()}
    if isinstance(node, (list, tuple, set, frozenset)):
        parts = [shape(part) for part in node]
        return sorted({repr(part) for part in parts}) if isinstance(node, (set, frozenset)) else merged(parts)
    if isinstance(node, dict):
        return {str(key): shape(value) for key, value in node.items()}
    if isinstance(node, URIRef) and node.startswith(queries.ENTITY):
        return "an entity"
    return repr(node) if isinstance(node, Identifier) else str(node)


def merged(parts: list[object]) -> list[object]:
    """A list in which equal neighbours stand once: VALUES of any length have one shape."""
    return [part for place, part in enumerate(parts) if place == 0 or part != parts[place - 1]]


@cache
def shape_of_one(name: str) -> object:
    """The shape of a template that is filled with a single id."""
    return shape(prepareQuery(TEMPLATES[name](["Q1"])).algebra)


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=15, deadline=None)
@given(ids=st.lists(ITEMS, min_size=1, max_size=8))
def test_every_query_parses_and_keeps_its_shape(name: str, ids: list[str]) -> None:
    query = TEMPLATES[name](ids)
    pyoxigraph.Store().query(query)
    assert shape(prepareQuery(query).algebra) == shape_of_one(name)
    assert set(re.findall(r"wd:(\w+)", query)) == set(ids if name != "claim_count" else ids[:1])


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None)
@given(good=ITEMS, bad=HOSTILE)
def test_hostile_ids_never_reach_a_query(name: str, good: str, bad: str) -> None:
    with pytest.raises(InvalidId):
        TEMPLATES[name]([bad, good])


@settings(deadline=None)
@given(st.text().filter(lambda tag: not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*", tag)))
def test_hostile_languages_never_reach_a_query(tag: str) -> None:
    with pytest.raises(ValueError, match="language tag"):
        queries.names(["Q1"], ["en", tag])


@pytest.mark.parametrize("name", TEMPLATES)
def test_queries_are_plain_sparql(name: str) -> None:
    query = TEMPLATES[name](["Q1", "Q2"])
    assert not re.search(r"service|wikibase:|bd:|hint:|gas:|mwapi", query, re.IGNORECASE)
