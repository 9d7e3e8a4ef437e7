"""A small piece of Wikidata, a server that holds it, and time that passes only when someone sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kg_cache.graph import Entity, Relation, Triple
from kg_cache.settings import Settings
from kg_cache.store import Store
from servers import SparqlServer, wikidata_rdf

TRIPLES = [
    ("Q937", "P27", "Q183"), ("Q937", "P27", "Q39"), ("Q937", "P19", "Q3012"), ("Q937", "P106", "Q169470"),
    ("Q3012", "P17", "Q183"), ("Q183", "P36", "Q64"), ("Q183", "P30", "Q46"), ("Q64", "P17", "Q183"),
    ("Q39", "P36", "Q70"),
]  # fmt: skip
LABELS = {
    "Q937": "Albert Einstein", "Q183": "Germany", "Q39": "Switzerland", "Q3012": "Ulm",
    "Q169470": "physicist", "Q64": "Berlin", "Q46": "Europe", "Q70": "Bern",
}  # fmt: skip
RELATIONS = {"P27": "country of citizenship", "P19": "place of birth", "P106": "occupation", "P17": "country",
             "P36": "capital", "P30": "continent"}  # fmt: skip
ALIASES = {"Q937": ["Einstein", "A. Einstein"], "Q183": ["Deutschland", "FRG"]}


@pytest.fixture
def rdf() -> str:
    return wikidata_rdf(TRIPLES, {**LABELS, **RELATIONS}, ALIASES, redirects={"Q1000001": "Q937"})


@pytest.fixture
def server(rdf: str) -> Iterator[SparqlServer]:
    with SparqlServer(rdf) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "facts.sqlite") as opened:
        yield opened


@pytest.fixture
def filled(store: Store) -> Store:
    store.add(
        (Triple(*row) for row in TRIPLES),
        (Entity(id=id, label=label, aliases=tuple(ALIASES.get(id, ()))) for id, label in LABELS.items()),
        "test",
        relations=(Relation(id=id, label=label) for id, label in RELATIONS.items()),
    )
    return store


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a server's address, with a cache folder of the test's own."""

    def make(endpoint: str, **values: object) -> Settings:
        return Settings(endpoint=endpoint, cache_dir=tmp_path / "cache", contact="tests@example.org", **values)

    return make


class FakeClock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
