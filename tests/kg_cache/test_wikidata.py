"""Read-through: the store first, the endpoint for what is missing, and never a socket for what is known."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kg_cache.errors import (
    EndpointBusy,
    EndpointDown,
    EndpointError,
    InvalidId,
    UnknownEntity,
    UnknownRelation,
)
from kg_cache.graph import Entity, KnowledgeGraph, Relation, Triple
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from kg_cache.store import Store
from kg_cache.wikidata import Wikidata
from servers import Fault, SparqlServer, wikidata_rdf


@pytest.fixture
def live(store: Store, settings: Callable[..., Settings], clock) -> Callable[..., Wikidata]:  # type: ignore[no-untyped-def]
    def make(server: SparqlServer, **options: object) -> Wikidata:
        chosen = settings(server.url, **dict(options.pop("settings", {})))  # type: ignore[call-overload]
        asked = Endpoint(chosen, clock=clock, sleep=clock.sleep)
        return Wikidata(store, asked, settings=chosen, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def refused(*args: object, **kwargs: object) -> None:
            raise AssertionError("a socket was opened")

        monkeypatch.setattr(socket, "socket", refused)
        monkeypatch.setattr(socket, "create_connection", refused)

    return forbid


def everything(graph: KnowledgeGraph) -> tuple[object, ...]:
    return (
        graph.neighbours(["Q937", "Q1000001", "Q404", "Q46"]),
        graph.labels(["Q937", "Q3012", "P27", "Q404", "Q1000001", "Q169470"]),
        graph.aliases("Q937"),
        graph.resolve("Q937"),
        graph.resolve("Albert Einstein"),
        graph.resolve_relation("country of citizenship"),
        graph.incoming(["Q183"]),
    )


def test_facts_and_names_arrive_from_the_endpoint(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    found = live(server).neighbours(["Q937", "Q39"])
    assert found.triples == (
        Triple("Q937", "P19", "Q3012"), Triple("Q937", "P27", "Q39"), Triple("Q937", "P27", "Q183"),
        Triple("Q937", "P106", "Q169470"), Triple("Q39", "P36", "Q70"),
    )  # fmt: skip
    assert (found.partial, found.missing) == (frozenset(), frozenset())
    assert len(server.queries) == 2  # claims of both, then every name: never one query per entity


def test_a_warm_store_opens_no_socket(server: SparqlServer, live, no_sockets) -> None:  # type: ignore[no-untyped-def]
    graph = live(server)
    cold = everything(graph)
    no_sockets()
    assert everything(graph) == cold
    assert everything(Wikidata(graph.store, None, settings=Settings(endpoint=server.url))) == cold


def test_offline_says_what_it_does_not_know(filled: Store, no_sockets) -> None:  # type: ignore[no-untyped-def]
    no_sockets()
    graph = Wikidata(filled, offline=True)
    found = graph.neighbours(["Q937", "Q404"])
    assert len(found.triples) == 4
    assert found.partial == {"Q937", "Q404"}  # never fetched, so nobody can say that this is all
    assert graph.labels(["Q404"]) == {"Q404": "Q404"}
    with pytest.raises(UnknownEntity):
        graph.resolve("Q404")
    with pytest.raises(EndpointError, match="offline"):
        graph.fetch(["Q404"])


def test_a_merged_item_is_followed_once_and_remembered(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    graph = live(server)
    report = graph.fetch(["Q1000001"])
    assert report.redirected == {"Q1000001": "Q937"}
    assert "Q1000001 was merged into Q937" in report.notes()
    assert graph.neighbours(["Q1000001"]).triples[0] == Triple("Q1000001", "P19", "Q3012")
    assert graph.resolve("Q1000001").id == "Q937"
    assert graph.labels(["Q1000001"]) == {"Q1000001": "Albert Einstein"}


def test_what_has_no_label_is_called_by_its_id_and_not_asked_for_again(live, no_sockets) -> None:  # type: ignore[no-untyped-def]
    with SparqlServer(wikidata_rdf([("Q1", "P1", "Q2")], {"Q1": {"ja": "宇宙"}})) as server:
        graph = live(server)
        assert graph.fetch(["Q1"]).unlabelled == 3
        no_sockets()
        assert graph.labels(["Q1", "P1", "Q2"]) == {"Q1": "Q1", "P1": "P1", "Q2": "Q2"}
        assert graph.resolve("Q2").label == "Q2"


def test_redirects_in_a_circle_end(live) -> None:  # type: ignore[no-untyped-def]
    with SparqlServer(wikidata_rdf([], redirects={"Q1": "Q2", "Q2": "Q1", "Q3": "Q3"})) as server:
        report = live(server).fetch(["Q1", "Q3"])
        assert report.redirected == {"Q1": "Q2"}
        assert live(server).neighbours(["Q1", "Q2", "Q3"]).triples == ()


def test_an_item_that_the_graph_lacks_is_missing_with_a_hint(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    graph = live(server)
    report = graph.fetch(["Q404", "Q46"])
    assert report.missing == ["Q404"]
    assert "query-scholarly" in report.notes()[0]
    assert graph.neighbours(["Q404", "Q46"]).missing == {"Q404"}
    with pytest.raises(UnknownEntity):
        graph.resolve("Q404")


def test_what_a_limit_cut_stays_marked(live) -> None:  # type: ignore[no-untyped-def]
    hub = [("Q30", f"P{n % 5 + 1}", f"Q{n}") for n in range(100, 400)]
    with SparqlServer(wikidata_rdf(hub)) as server:
        graph = live(server, settings={"entity_limit": 25})
        report = graph.fetch(["Q30"])
        found = graph.neighbours(["Q30"])
    assert report.partial == {"Q30": 275}
    assert (len(found.triples), found.partial) == (25, {"Q30"})
    assert graph.store.neighbours(["Q30"]).partial == {"Q30"}


def test_what_came_before_a_failure_is_kept(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    graph = live(server, settings={"chunk_size": 1, "attempts": 1})
    server.faults.extend([Fault(), Fault(), Fault(status=429, headers={"Retry-After": "86400"})])
    with pytest.raises(EndpointBusy):
        graph.neighbours(["Q937", "Q183", "Q39"])
    assert len(graph.store.neighbours(["Q937"]).triples) == 4
    assert graph.store.unfetched(["Q937", "Q183", "Q39"]) == ["Q183", "Q39"]


@pytest.mark.parametrize("fault", [Fault(status=403), Fault(keep=0.6), Fault(headers={"Content-Type": "text/html"})])
def test_nothing_of_a_bad_answer_is_stored(server: SparqlServer, live, fault: Fault) -> None:  # type: ignore[no-untyped-def]
    server.always = fault
    graph = live(server)
    with pytest.raises(EndpointError):
        graph.neighbours(["Q937"])
    assert graph.store.provenance()["triples"] == 0
    assert graph.store.unfetched(["Q937"]) == ["Q937"]


def test_stored_facts_may_stand_in_for_an_endpoint_that_is_down(filled: Store, server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    server.always = Fault(status=500)
    with pytest.raises(EndpointDown):
        live(server).neighbours(["Q937"])
    found = live(server, use_stored=True).neighbours(["Q937"])
    assert (len(found.triples), found.partial) == (4, {"Q937"})
    assert live(server, use_stored=True).labels(["Q5"]) == {"Q5": "Q5"}


def test_a_new_fetch_replaces_what_changed(server: SparqlServer, rdf: str, live) -> None:  # type: ignore[no-untyped-def]
    live(server).fetch(["Q39"])
    with SparqlServer(rdf.replace("Q70>", "Q78>")) as changed:
        live(changed).fetch(["Q39"])
    assert live(server).neighbours(["Q39"]).triples == (Triple("Q39", "P36", "Q78"),)


@pytest.mark.parametrize("ask", [Wikidata.neighbours, Wikidata.labels, Wikidata.fetch, Wikidata.incoming])
def test_a_bad_id_asks_nobody(server: SparqlServer, live, ask) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidId):
        ask(live(server), ["Q937", "Q1 } UNION { ?s ?p ?o"])
    assert server.queries == []


def test_names_resolve_in_the_store_then_in_the_other_graph_never_in_a_query(
    server: SparqlServer, live, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    with Store(tmp_path / "names.sqlite") as names:
        names.add(entities=[Entity(id="Q5", label="human")], relations=[Relation(id="P31", label="instance of")])
        graph = live(server, names=names)
        assert graph.resolve("human").id == "Q5"
        assert graph.resolve_relation("instance of").id == "P31"
        with pytest.raises(UnknownEntity):
            graph.resolve('x" } UNION { ?s ?p ?o')
        assert server.queries == []


def test_an_unknown_id_is_fetched_when_it_is_resolved(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    graph = live(server)
    assert graph.resolve("Q64").label == "Berlin"
    assert graph.resolve_relation("P106").label == "occupation"
    with pytest.raises(UnknownRelation):
        graph.resolve_relation("P404")


def test_a_deleted_item_is_asked_for_once_when_it_is_resolved(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    graph = live(server)
    with pytest.raises(UnknownEntity):
        graph.resolve("Q404")
    asked = len(server.queries)
    assert asked > 0
    with pytest.raises(UnknownEntity):
        graph.resolve("Q404")
    assert len(server.queries) == asked


def test_provenance_names_the_endpoint(server: SparqlServer, live) -> None:  # type: ignore[no-untyped-def]
    graph = live(server)
    graph.fetch(["Q937"])
    said = graph.provenance()
    assert (said["endpoint"], said["language"], said["triples"]) == (server.url, "en", 4)
    assert server.url in said["sources"]


def test_opened_by_settings_alone(server: SparqlServer, settings: Callable[..., Settings]) -> None:
    chosen = settings(server.url, language="de")
    graph = Wikidata.open(chosen)
    assert graph.store.path == chosen.cache_dir / "127.0.0.1-de.sqlite"
    assert graph.labels(["Q937"]) == {"Q937": "Albert Einstein"}  # no German label here: English
    assert graph.resolve("France").id == "Q142"  # from the bundled names
