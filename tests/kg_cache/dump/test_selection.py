"""What is kept by property and class, whatever the order of the lines and the form of the file."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest

from kg_cache.errors import ImportFailed, InvalidId
from kg_cache.graph import Triple
from kg_cache.importing import import_triples
from kg_cache.store import Store
from servers import WD, wikidata_rdf

FACTS = [
    ("Q183", "P31", "Q6256"), ("Q183", "P36", "Q64"), ("Q183", "P30", "Q46"), ("Q64", "P31", "Q515"),
    ("Q64", "P17", "Q183"), ("Q39", "P31", "Q3624078"), ("Q39", "P36", "Q70"),
]  # fmt: skip
NAMES = {"Q183": "Germany", "Q64": "Berlin", "Q46": "Europe", "Q39": "Switzerland", "Q70": "Bern", "Q1": "universe",
         "P36": "capital", "P30": "continent", "P31": "instance of"}  # fmt: skip


def lines() -> list[str]:
    return [*wikidata_rdf(FACTS, NAMES).splitlines(), f'<{WD}Q1> <http://schema.org/name> "x"@en .', "nonsense"]


def rows(store: Store) -> set[tuple[str, ...]]:
    return set(map(tuple, store.triples()))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_properties(tmp_path: Path, store: Store, order: tuple[int, ...]) -> None:
    parts = lines()[:4], lines()[4:9], lines()[9:]
    (tmp_path / "facts.nt").write_text("\n".join(line for part in order for line in parts[part]) + "\n")
    report = import_triples(tmp_path / "facts.nt", store, properties=["P36", "wdt:P17"])
    assert rows(store) == {fact for fact in FACTS if fact[1] in ("P36", "P17")}
    assert store.labels(NAMES) == {id: id for id in NAMES} | {
        id: NAMES[id] for id in ("Q183", "Q64", "Q39", "Q70", "P36")
    }
    # four facts, five names and one other statement are of no use; what cannot be read counts once
    assert (report.triples, report.names, report.skipped, report.malformed) == (3, 5, 9, 1)


def test_classes_with_their_instances_whatever_stands_first(tmp_path: Path, store: Store) -> None:
    (tmp_path / "facts.nt").write_text("\n".join(reversed(lines())) + "\n")
    store.add([Triple("Q3624078", "P279", "Q6256")])  # sovereign states are countries
    report = import_triples(tmp_path / "facts.nt", store, classes=["Q6256"])
    wanted = {fact for fact in FACTS if fact[0] in ("Q183", "Q39")}
    assert rows(store) == wanted | {("Q3624078", "P279", "Q6256")}
    assert store.labels(["Q46", "Q1", "P31"]) == {"Q46": "Europe", "Q1": "Q1", "P31": "instance of"}
    assert (report.triples, report.malformed) == (len(wanted), 1)


def test_class_and_property_together_and_in_json(tmp_path: Path, store: Store) -> None:
    entities: dict[str, dict] = {}
    for subject, relation, target in FACTS:
        value = {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": target}}
        claims = entities.setdefault(
            subject, {"id": subject, "labels": {"en": {"value": NAMES[subject]}}, "claims": {}}
        )
        claims["claims"].setdefault(relation, []).append({"mainsnak": {"snaktype": "value", "datavalue": value}})
    (tmp_path / "facts.json").write_text("\n".join(json.dumps(entity) for entity in entities.values()))
    report = import_triples(tmp_path / "facts.json", store, classes=["Q6256"], properties=["P36"])
    assert rows(store) == {("Q183", "P31", "Q6256"), ("Q183", "P36", "Q64")}
    assert store.labels(["Q183", "Q64", "Q39"]) == {"Q183": "Germany", "Q64": "Berlin", "Q39": "Q39"}
    assert (report.triples, report.names, report.skipped) == (2, 2, 5 + 1)


@pytest.mark.parametrize("choice", [{"properties": ["Q36"]}, {"classes": ["human"]}, {"properties": ["P36 }"]}])
def test_what_is_no_id_is_refused(tmp_path: Path, store: Store, choice: dict[str, list[str]]) -> None:
    (tmp_path / "facts.tsv").write_text("Q1\tP36\tQ2\n")
    with pytest.raises(InvalidId):
        import_triples(tmp_path / "facts.tsv", store, **choice)


def test_nothing_of_what_was_chosen_is_an_error(tmp_path: Path, store: Store) -> None:
    (tmp_path / "facts.tsv").write_text("Q1\tP36\tQ2\n")
    with pytest.raises(ImportFailed, match="no fact that is wanted"):
        import_triples(tmp_path / "facts.tsv", store, properties=["P37"])
    assert list(store.triples()) == []
