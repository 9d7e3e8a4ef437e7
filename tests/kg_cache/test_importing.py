import bz2
import gzip
import lzma
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kg_cache.errors import ImportFailed
from kg_cache.graph import Triple
from kg_cache.importing import import_triples
from kg_cache.store import Store
from servers import WD, WDT, wikidata_rdf


def test_ntriples(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "facts.nt"
    path.write_text(
        wikidata_rdf(
            [("Q937", "P19", "Q3012")],
            {"Q937": {"en": 'Al"bert\nEinstein 👩', "de": "Albert Einstein"}, "P19": "place of birth"},
            {"Q937": ["Einstein"]},
            extra=f"""# a comment

<{WD}Q937> <{WDT}P569> "1879-03-14"^^<http://www.w3.org/2001/XMLSchema#date> .
<{WD}Q937> <{WDT}P19> _:unknown .
<{WD}Q937> <http://schema.org/description> "physicist"@en .
<{WD}Q937> <{WDT}P19> <{WD}Q1 }} UNION> .
<{WD}Q937> <http://www.w3.org/2000/01/rdf-schema#label> "half
<{WD}Q3012> <{WDT}P17> <{WD}Q183> .
""",
        ),
        encoding="utf-8",
    )
    report = import_triples(path, store)
    assert (report.triples, report.names, report.skipped, report.malformed) == (2, 3, 4, 2)
    lines = path.read_text(encoding="utf-8").splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if "UNION" in line or "half" in line]
    starts = [f"line {number}: no N-Triples statement" for number in wrong]
    assert [example.partition(" statement")[0] + " statement" for example in report.examples] == starts
    assert list(store.triples()) == [Triple("Q937", "P19", "Q3012"), Triple("Q3012", "P17", "Q183")]
    assert store.labels(["Q937", "P19"]) == {"Q937": 'Al"bert\nEinstein 👩', "P19": "place of birth"}
    assert store.aliases("Q937") == ("Einstein",)


@pytest.mark.parametrize("packed", [False, True])
def test_turtle(tmp_path: Path, store: Store, packed: bool) -> None:
    text = f"""@prefix wd: <{WD}> . @prefix wdt: <{WDT}> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
wd:Q937 wdt:P19 wd:Q3012 ; wdt:P27 wd:Q183, wd:Q39 ;
    rdfs:label "Albert Einstein"@EN, "Albert Einstein"@de .
wd:Q183 wdt:P36 nothing:known ; wdt:P30 wd:Q46 .
wd:Q39 wdt:P36 wd:Q70 ; wdt:P1082 8700000 .
"""
    path = tmp_path / ("facts.ttl.gz" if packed else "facts.ttl")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    report = import_triples(path, store)
    assert (report.triples, report.names, report.skipped, report.malformed) == (4, 1, 2, 1)
    assert report.examples[0].startswith("line 5: no Turtle statement")
    assert Triple("Q937", "P27", "Q39") in set(store.triples())
    assert Triple("Q39", "P36", "Q70") in set(store.triples())  # what follows the broken statement
    assert store.labels(["Q937"]) == {"Q937": "Albert Einstein"}


@pytest.mark.parametrize("packed", [False, True])
def test_tables(tmp_path: Path, store: Store, packed: bool) -> None:
    text = "Q937\tP19\tQ3012\tsource\r\nQ937\tAlbert Einstein\tEinstein|A. Einstein\n"
    text += "P19\tplace of birth\n\nQ3012\tUlm\n"
    path = tmp_path / ("facts.tsv.gz" if packed else "facts.tsv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    report = import_triples(path, store)
    assert (report.triples, report.names, report.malformed) == (1, 5, 0)
    assert store.resolve("A. Einstein").id == "Q937"
    assert list(store.provenance()["sources"]) == [f"file {path.name}"]  # type: ignore[call-overload]


def test_importing_again_changes_nothing_and_aliases_add_up(tmp_path: Path, filled: Store) -> None:
    path = tmp_path / "more.tsv"
    path.write_text("Q64\tP17\tQ183\nQ64\tBerlin\tAthens of the Spree\nQ937\tEinstein, Albert\n")
    import_triples(path, filled)
    once = (list(filled.triples()), filled.aliases("Q937"), filled.aliases("Q64"), filled.labels(["Q937"]))
    import_triples(path, filled)
    assert (
        list(filled.triples()),
        filled.aliases("Q937"),
        filled.aliases("Q64"),
        filled.labels(["Q937"]),
    ) == once
    assert once[1:] == (("Einstein", "A. Einstein"), ("Athens of the Spree",), {"Q937": "Einstein, Albert"})


def test_malformed_lines_are_counted_and_the_first_are_named(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "facts.tsv"
    bad = [b"Q1\tP31\tQ1 }", b"nonsense", b"Q1\t", b"Q\xff\tP1\tQ2", b"subject\tP1\tobject", b"Q0\tP1\tQ2"]
    bad.append(b"x" * 3_000_000)
    path.write_bytes(b"\n".join([b"Q1\tP1\tQ2", *bad, b"Q3\tP1\tQ4"]))
    report = import_triples(path, store)
    assert (report.triples, report.malformed) == (2, 7)
    assert [example.split(":")[0] for example in report.examples] == [f"line {n}" for n in range(2, 7)]
    assert all(len(example) < 400 for example in report.examples)


@pytest.mark.parametrize(
    "row",
    [
        "P27\tQ937\tQ142",  # property, item, item
        "Q937\tQ142\tP27",  # item, item, property
        "Q937\tcountry of citizenship\tQ142",  # the property by its label
        "Q937\twd:Q142\t",
        "Q937\tP27\tFrance",
    ],
)
def test_a_fact_in_another_form_renames_nothing(tmp_path: Path, store: Store, row: str) -> None:
    named = "Q937\tAlbert Einstein\tEinstein\nP27\tcountry of citizenship\nQ142\tFrance\n"
    (tmp_path / "facts.tsv").write_text(f"{named}{row}\n")
    report = import_triples(tmp_path / "facts.tsv", store)
    assert (report.triples, report.names, report.malformed) == (0, 4, 1)
    assert report.examples[0].endswith("a fact is item, property, item in this order, each by its id")
    assert store.labels(["Q937", "P27"]) == {"Q937": "Albert Einstein", "P27": "country of citizenship"}
    assert store.aliases("Q937") == ("Einstein",)


def test_ids_of_a_table_in_lower_case_and_names_that_look_like_them(tmp_path: Path, store: Store) -> None:
    rows = "q937\tp27\tq142\nQ937\tAlbert Einstein\tq8|p53\nQ14818\tp53\nQ7\tQ7\t\n"
    (tmp_path / "facts.tsv").write_text(rows)
    report = import_triples(tmp_path / "facts.tsv", store)
    assert (report.triples, report.malformed) == (1, 0)
    assert list(store.triples()) == [Triple("Q937", "P27", "Q142")]
    assert store.aliases("Q937") == ("q8", "p53")
    assert store.labels(["Q14818"]) == {"Q14818": "p53"}


@pytest.mark.parametrize("long", [b"x" * 20_000_000, b'<http://a> <http://b> "' + b"x" * 20_000_000 + b'" .'])
def test_an_absurdly_long_line_is_one_malformed_line(tmp_path: Path, store: Store, long: bytes) -> None:
    statement = f"<{WD}Q1> <{WDT}P1> <{WD}Q2> .\n".encode()
    (tmp_path / "facts.nt").write_bytes(statement + long + b"\n" + statement.replace(b"Q2", b"Q3"))
    report = import_triples(tmp_path / "facts.nt", store)
    assert (report.triples, report.malformed) == (2, 1)
    assert [example.split(":")[0] for example in report.examples] == ["line 2"]


def test_a_string_that_never_ends_is_one_error(tmp_path: Path, store: Store) -> None:
    (tmp_path / "facts.ttl").write_bytes(b'<http://a> <http://b> "' + b"x" * 20_000_000)
    with pytest.raises(ImportFailed, match="too large"):
        import_triples(tmp_path / "facts.ttl", store)


def test_memory_does_not_grow_with_the_file(tmp_path: Path, store: Store, monkeypatch) -> None:
    monkeypatch.setattr("kg_cache.importing._BATCH", 1000)
    statement = f"<{WD}Q1> <{WDT}P1> <{WD}Q2> .\n".encode()
    peaks = []
    for count in (8_000, 80_000):
        (tmp_path / "facts.nt").write_bytes(statement * count)
        tracemalloc.start()
        assert import_triples(tmp_path / "facts.nt", store).triples == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [("facts.nt.gz", gzip.compress(f"<{WD}Q1> <{WDT}P1> <{WD}Q2> .\n".encode(), mtime=0)[:-6]),
     ("facts.ttl", b"Q1 P1 Q2 .\n"), ("facts.ttl.gz", b"no gzip"),
     ("facts.tsv", b""), 
     ("facts.tsv", b"a\tb\tc\n" * 3), ("facts.nt", b"Q1\tP1\tQ2\n"), ("facts.tsv.gz", b"no gzip"),
     ("facts.tsv.gz", gzip.compress(b"Q1\tP1\tQ2\n", mtime=0)[:-6])],
)  # fmt: skip
def test_a_file_without_facts_is_an_error(tmp_path: Path, store: Store, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportFailed, match=name):
        import_triples(tmp_path / name, store)
    assert list(store.triples()) == []


def test_a_file_that_is_not_there(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ImportFailed, match="cannot be read"):
        import_triples(tmp_path / "none.nt", store)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    with Store(folder / "facts.sqlite") as store:
        for name in ("facts.nt", "facts.ttl", "facts.tsv"):
            (folder / name).write_bytes(b"Q1\tP1\tQ2\n" + content if name == "facts.tsv" else content)
            try:
                import_triples(folder / name, store)
            except ImportFailed:
                continue
        assert store.knows("Q1")


@pytest.mark.parametrize("later", [False, True])
def test_names_in_all_languages_serve_where_the_language_has_none(tmp_path: Path, later: bool) -> None:
    label, alias = "<http://www.w3.org/2000/01/rdf-schema#label>", "<http://www.w3.org/2004/02/skos/core#altLabel>"
    lines = [
        f'<{WD}Q1> {label} "Ada Example"@mul .',
        f'<{WD}Q1> {alias} "A. Example"@mul .',
        f'<{WD}Q2> {label} "the land"@en .',
        f'<{WD}Q2> {label} "Exampleland"@mul .',
        f'<{WD}Q2> {label} "Beispielland"@de .',
        f'<{WD}Q3> {label} "only German"@de .',
        f"<{WD}Q1> <{WDT}P27> <{WD}Q2> .",
    ]
    parts = [lines[3:], lines[:3]] if later else [lines]
    with Store(tmp_path / "graph.sqlite") as store:
        for number, part in enumerate(parts):
            (tmp_path / f"{number}.nt").write_text("\n".join(part) + "\n")
            import_triples(tmp_path / f"{number}.nt", store)
        assert store.labels(["Q1", "Q2", "Q3"]) == {"Q1": "Ada Example", "Q2": "the land", "Q3": "Q3"}
        assert store.aliases("Q1") == ("A. Example",)
        assert store.resolve("A. Example").id == "Q1"


def test_a_substitute_label_serves_a_property_that_was_stored_without_one(tmp_path: Path, store: Store) -> None:
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    (tmp_path / "none.nt").write_text(f'<{WD}P31> <http://www.w3.org/2004/02/skos/core#altLabel> "ist ein"@de .\n')
    (tmp_path / "english.nt").write_text(f'<{WD}P31> {label} "instance of"@en .\n')
    (tmp_path / "german.nt").write_text(f'<{WD}P31> {label} "ist ein(e)"@de .\n')
    told = []
    for name in ("none.nt", "english.nt", "german.nt", "english.nt"):
        import_triples(tmp_path / name, store, language="de")
        told.append(store.labels(["P31"])["P31"])
    assert told == ["P31", "instance of", "ist ein(e)", "ist ein(e)"]


@pytest.mark.parametrize("pack", ["gz", "bz2", "xz"])
def test_a_table_of_addresses_in_any_packing(tmp_path: Path, store: Store, pack: str) -> None:
    content = f"<{WD}Q1>\t<{WDT}P27>\t{WD}Q2\nwd:Q1\tAda\nwdt:P27\tcitizenship\n".encode()
    packed = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[pack](content)
    (tmp_path / f"facts.tsv.{pack}").write_bytes(packed)
    report = import_triples(tmp_path / f"facts.tsv.{pack}", store)
    assert (report.triples, report.names, report.malformed) == (1, 2, 0)
    assert store.labels(["Q1", "P27"]) == {"Q1": "Ada", "P27": "citizenship"}


def test_aliases_of_properties_come_from_tables_and_from_rdf(tmp_path: Path, store: Store) -> None:
    (tmp_path / "names.tsv").write_text("P27\tcountry of citizenship\tnationality|citizen of\n")
    (tmp_path / "names.nt").write_text(
        f'<{WD}P6> <http://www.w3.org/2000/01/rdf-schema#label> "head of government"@en .\n'
        f'<{WD}P6> <http://www.w3.org/2004/02/skos/core#altLabel> "prime minister"@en .\n'
        f'<{WD}P27> <http://www.w3.org/2004/02/skos/core#altLabel> "citizenship"@en .\n'
    )
    for name in ("names.tsv", "names.nt", "names.tsv"):
        import_triples(tmp_path / name, store)
    for text, id in (("nationality", "P27"), ("citizenship", "P27"), ("Prime Minister", "P6")):
        assert store.resolve_relation(text).id == id
    assert store.provenance()["entities"] == 0
