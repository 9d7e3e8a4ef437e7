"""Wikidata's JSON dump: the best-ranked statements, names, and records that are not as they should be."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kg_cache.errors import ImportFailed
from kg_cache.graph import Triple
from kg_cache.importing import import_triples
from kg_cache.store import Store


def claim(target: int | None, rank: str = "normal", **value: Any) -> dict[str, Any]:
    snak: dict[str, Any] = {"snaktype": "somevalue" if target is None else "value", "datatype": "wikibase-item"}
    if target is not None:
        snak["datavalue"] = {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": f"Q{target}"} | value}
    return {"mainsnak": snak, "rank": rank, "type": "statement", "id": "x"}


DAY = {"mainsnak": {"snaktype": "value", "datavalue": {"type": "time", "value": {"time": "+1879"}}}, "rank": "normal"}
OLD = {"mainsnak": {"snaktype": "value", "datavalue": {"type": "wikibase-entityid", "value": {
    "entity-type": "item", "numeric-id": 64}}}, "rank": "normal"}  # fmt: skip


def name(text: str, tag: str = "en") -> dict[str, str]:
    return {"language": tag, "value": text}


ENTITIES: list[Any] = [
    {"type": "item", "id": "Q937", "labels": {"en": name("Albert Einstein"), "de": name("A. E.", "de")},
     "aliases": {"en": [name("Einstein"), name("A. Einstein")], "mul": [name("AE", "mul")]},
     "claims": {"P27": [claim(39), claim(183, "preferred"), claim(1, "deprecated")],
                "P19": [claim(3012), claim(None)], "P569": [DAY]}},
    {"type": "item", "id": "Q183", "labels": {"mul": name("Deutschland", "mul")}, "aliases": [], "claims":
     {"P36": [OLD], "P31": [claim(6256)]}},
    {"type": "item", "id": "Q5", "labels": [], "claims": []},
    {"type": "property", "id": "P27", "labels": {"en": name("country of citizenship")},
     "aliases": {"en": [name("nationality")]}, "claims": {"P31": [claim(18608871)]}},
    {"type": "lexeme", "id": "L99", "lemmas": {}},
]  # fmt: skip
TRIPLES = {
    Triple("Q937", "P27", "Q183"), Triple("Q937", "P19", "Q3012"), Triple("Q183", "P36", "Q64"),
    Triple("Q183", "P31", "Q6256"),
}  # fmt: skip


def dump(entities: list[Any] = ENTITIES) -> bytes:
    """As Wikidata writes it: an array, one entity on each line."""
    return ("[\n" + ",\n".join(json.dumps(entity) for entity in entities) + "\n]\n").encode()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("all.json.gz", gzip.compress(dump())),
        ("all.json.bz2", bz2.compress(dump()[:900]) + bz2.compress(dump()[900:])),  # as parallel packers write it
        ("lines.ndjson", b"\n".join(json.dumps(entity).encode() for entity in ENTITIES)),
        ("array.json", json.dumps(ENTITIES).encode()),
        ("windows.json", b"\xef\xbb\xbf" + dump().replace(b"\n", b"\r\n")),
        ("answer.json", json.dumps({"entities": {entity["id"]: entity for entity in ENTITIES}}).encode()),
    ],
)
def test_best_ranked_item_values_and_names_are_read(tmp_path: Path, store: Store, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    report = import_triples(tmp_path / file, store)
    # skipped: two values of lesser rank, an unknown one, a date, a property's claim and a lexeme
    assert (report.triples, report.names, report.skipped, report.malformed) == (4, 7, 6, 0), report
    assert set(store.triples()) == TRIPLES
    assert store.labels(["Q937", "Q183", "P27"]) == {
        "Q937": "Albert Einstein", "Q183": "Deutschland", "P27": "country of citizenship",
    }  # fmt: skip
    assert store.aliases("Q937") == ("Einstein", "A. Einstein", "AE")
    assert store.resolve_relation("nationality").id == "P27"


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "Q1", "claims": {"P1": [{"rank": "normal"}]}},
        {"id": "Q1", "claims": {"P1": 5}},
        {"id": "Q1", "claims": {"P1": [claim(2), {"mainsnak": {"snaktype": "value"}}]}},
        {"id": "Q1", "claims": [claim(2)]},
        {"id": "Q1", "labels": {"en": {"value": 5}}, "claims": {"P1": [claim(2)]}},
        {"id": "Q1", "claims": {}, "aliases": {"en": [None]}},
        {"id": 5},
        {"claims": {}},
        "Q1",
        None,
        7,
    ],
)
def test_a_broken_entity_costs_itself_only(tmp_path: Path, store: Store, bad: Any) -> None:
    (tmp_path / "dump.json").write_bytes(dump([ENTITIES[0], bad, *ENTITIES[1:]]))
    report = import_triples(tmp_path / "dump.json", store)
    assert (report.malformed, [text.split(":")[0] for text in report.examples]) == (1, ["line 3"])
    assert set(store.triples()) == TRIPLES


@pytest.mark.parametrize("bad", [b'{"id": "Q1",', b'{"id": "Q1", "claims": {}', b"\xff", b"[" * 5000])
def test_a_line_that_is_no_json_costs_itself_only(tmp_path: Path, store: Store, bad: bytes) -> None:
    (tmp_path / "dump.json").write_bytes(dump().replace(b"\n]", b",\n" + bad + b"\n]"))
    assert import_triples(tmp_path / "dump.json", store).malformed == 1
    assert set(store.triples()) == TRIPLES


def test_a_dump_of_another_form_ends_early_with_one_error(tmp_path: Path, store: Store) -> None:
    (tmp_path / "wrong.json").write_bytes(b"<http://a> <http://b> <http://c> .\n" * 200_000)
    with pytest.raises(ImportFailed, match=r"wrong.json holds no fact .*line 1"):
        import_triples(tmp_path / "wrong.json", store)
    assert store.provenance()["sources"] == {}
