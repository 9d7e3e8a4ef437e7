"""What is believed of an answer: claims between items, names in known languages. The rest is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kg_cache.answers import Row, read_answer
from kg_cache.claims import fetch_claims, fetch_names, fetch_presence, read_claims
from kg_cache.errors import EndpointTruncated
from kg_cache.graph import Triple
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from servers import WD, WDT, SparqlServer, wikidata_rdf

HUB = [("Q1", f"P{1 + n % 7}", f"Q{n}") for n in range(2, 302)]


def uri(value: str) -> dict[str, str]:
    return {"type": "uri", "value": value}


def rows(*claims: tuple[str, str, dict[str, str]]) -> list[Row]:
    bindings = [{"item": uri(WD + s), "property": uri(WDT + p), "value": o} for s, p, o in claims]
    return read_answer(json.dumps({"results": {"bindings": bindings}}).encode(), "test")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "literal", "value": "0000-00-00T00:00:00Z", "datatype": "http://www.w3.org/2001/XMLSchema#dateTime"},
        {"type": "literal", "value": "-0499-01-01T00:00:00Z", "datatype": "http://www.w3.org/2001/XMLSchema#dateTime"},
        {"type": "typed-literal", "value": "+17.5", "datatype": "http://www.w3.org/2001/XMLSchema#decimal"},
        {"type": "literal", "value": WD + "Q5"},
        {"type": "literal", "value": "Ulm", "xml:lang": "de"},
        {"type": "bnode", "value": "t1"},
        uri("http://www.wikidata.org/.well-known/genid/0b1c2d3e4f"),
        uri("http://commons.wikimedia.org/wiki/Special:FilePath/X.jpg"),
        uri(WD + "P31"),
        uri(WD + "L42"),
        uri(WD + "Q1 } UNION"),
        uri(WD + "statement/Q5-1234"),
        uri("https://evil.example/entity/Q5"),
    ],
)  # fmt: skip
def test_what_is_no_item_is_dropped_and_counted(value: dict[str, str]) -> None:
    (found,) = read_claims(rows(("Q1", "P2", uri(WD + "Q3")), ("Q1", "P4", value)), ["Q1"], 10)
    assert found.triples == (Triple("Q1", "P2", "Q3"),)
    assert (found.dropped, found.cut) == (1, 0)


def test_what_was_not_asked_is_not_believed() -> None:
    answer = rows(("Q666", "P2", uri(WD + "Q3")), ("Q1", "P2", uri(WD + "Q3")))
    answer[1]["property"] = answer[1]["property"].model_copy(update={"value": WD + "P2"})  # a statement node
    assert read_claims([*answer, {}], ["Q1"], 10) == [("Q1", (), 0, 0)]


def test_recorded_answers_of_wikidata_are_read(real: Path) -> None:
    recorded = (real / "api_fixtures" / "wdqs").glob("*.json")
    answers = {path.stem: read_answer(path.read_bytes(), "recorded") for path in recorded}
    assert len(answers) == 7
    genres = answers["single_var_sparql_results"]
    assert [row["genre"].value.removeprefix(WD) for row in genres] == [
        "Q112983",
        "Q185598",
        "Q3879286",
        "Q1473346",
    ]
    assert "endTime" not in answers["sparql_results_with_nested_associated_variables"][1]  # optional, unbound
    assert answers["sparql_results_with_optional_values"][0]["label"].language == "fr"
    as_claims = [{"item": genres[0]["genre"], "property": row["statement"], "value": row["statement"]}
                 for row in answers["sparql_results_with_statements"]]  # fmt: skip
    assert read_claims(as_claims, ["Q112983"], 10) == [("Q112983", (), 0, 0)]


@pytest.fixture
def ask(settings: Callable[..., Settings], clock) -> Callable[[SparqlServer], Endpoint]:  # type: ignore[no-untyped-def]
    return lambda server: Endpoint(settings(server.url), clock=clock, sleep=clock.sleep)


def test_one_query_for_a_chunk_of_items(server: SparqlServer, ask) -> None:  # type: ignore[no-untyped-def]
    batches = list(fetch_claims(ask(server), ["Q937", "Q183", "Q39", "Q46"], chunk_size=3, entity_limit=10))
    assert [[claims.item for claims in batch] for batch in batches] == [["Q937", "Q183", "Q39"], ["Q46"]]
    assert len(server.queries) == 2
    assert batches[0][0].triples[:2] == (Triple("Q937", "P19", "Q3012"), Triple("Q937", "P27", "Q39"))


@pytest.mark.parametrize("together", [["Q1"], ["Q1", "Q400"], [f"Q{n}" for n in range(400, 440)] + ["Q1"]])
def test_a_hub_is_bounded_in_the_same_way_whoever_it_is_asked_with(ask, together: list[str]) -> None:  # type: ignore[no-untyped-def]
    others = [(f"Q{n}", "P1", "Q1") for n in range(400, 440)]
    with SparqlServer(wikidata_rdf([*HUB, *others])) as server:
        found = {
            c.item: c for batch in fetch_claims(ask(server), together, chunk_size=50, entity_limit=20) for c in batch
        }
    wanted = sorted(HUB, key=lambda t: (int(t[1][1:]), int(t[2][1:])))[:20]
    assert found["Q1"].triples == tuple(Triple(*triple) for triple in wanted)
    assert found["Q1"].cut == 280
    assert all(len(found[id].triples) == 1 and not found[id].cut for id in together if id != "Q1")


def test_a_country_with_a_hundred_thousand_links_stays_small(ask) -> None:  # type: ignore[no-untyped-def]
    with SparqlServer(wikidata_rdf(("Q30", f"P{1 + n % 50}", f"Q{n}") for n in range(1000, 101_000))) as server:
        ((found,),) = fetch_claims(ask(server), ["Q30"], chunk_size=50, entity_limit=500)
        assert len(server.queries) == 2  # the first claims, and how many there are
    assert (len(found.triples), found.cut) == (500, 99_500)
    assert {t.relation for t in found.triples} == {"P1"}


def test_a_truncated_chunk_is_asked_for_in_smaller_pieces(ask) -> None:  # type: ignore[no-untyped-def]
    facts = [(f"Q{n}", "P1", f"Q{m}") for n in range(1, 9) for m in range(1, 11)]
    with SparqlServer(wikidata_rdf(facts)) as server:
        server.row_limit = 25  # two items fit
        ids = [f"Q{n}" for n in range(1, 9)]
        batches = list(fetch_claims(ask(server), ids, chunk_size=8, entity_limit=100))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2]
    assert sorted(t for batch in batches for c in batch for t in c.triples) == sorted(Triple(*t) for t in facts)


def test_one_item_too_large_for_the_endpoint_is_partial(ask) -> None:  # type: ignore[no-untyped-def]
    with SparqlServer(wikidata_rdf(HUB)) as server:
        server.row_limit = 70
        ((found,),) = fetch_claims(ask(server), ["Q1"], chunk_size=50, entity_limit=200)
    assert (len(found.triples), found.cut) == (50, 250)


def test_an_endpoint_that_truncates_everything_is_an_error(ask) -> None:  # type: ignore[no-untyped-def]
    with SparqlServer(wikidata_rdf(HUB)) as server:
        server.row_limit = 0
        with pytest.raises(EndpointTruncated):
            list(fetch_claims(ask(server), ["Q1", "Q2"], chunk_size=50, entity_limit=500))
        assert len(server.queries) < 12


def test_labels_fall_back_by_language(ask) -> None:  # type: ignore[no-untyped-def]
    labels = {
        "Q1": {"en": "one", "de": "eins"}, "Q2": {"en": "two", "mul": "2"}, "Q3": {"mul": "3", "fr": "trois"},
        "Q4": {"fr": "quatre"}, "P5": {"en": "five"}, "Q6": {"de-at": "sechs"},
    }  # fmt: skip
    with SparqlServer(wikidata_rdf([], labels, {"Q1": ["unit", "one"]})) as server:
        ids = [*labels, "Q7"]
        names = {
            n.id: n
            for batch in fetch_names(ask(server), ids, languages=["de", "en", "mul"], chunk_size=3)
            for n in batch
        }
        english = next(fetch_names(ask(server), ["Q1"], languages=["en", "mul"], chunk_size=3))
    assert {id: name.label for id, name in names.items()} == {
        "Q1": "eins", "Q2": "two", "Q3": "3", "Q4": None, "P5": "five", "Q6": None, "Q7": None,
    }  # fmt: skip
    assert english == [("Q1", "one", ("unit",))]
    assert names["Q1"].aliases == ()  # an alias in another language is not an alias in this one


def test_presence(server: SparqlServer, ask) -> None:  # type: ignore[no-untyped-def]
    assert fetch_presence(ask(server), ["Q937", "Q1000001", "Q404"], chunk_size=2) == {
        "Q937": None,
        "Q1000001": "Q937",
    }
