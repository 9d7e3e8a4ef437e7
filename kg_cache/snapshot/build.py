"""Rebuild the bundled snapshot from a folder with a larger labelled slice of Wikidata.

    python -m kg_cache.snapshot.build SOURCE_FOLDER [TARGET_FOLDER]

The source folder holds triples.tsv (Q, P, Q), entities.tsv (Q, label, aliases joined by "|") and relations.tsv
(P, label). Selection is deterministic: no randomness, ties by numeric id.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

# Item-valued relations whose objects have facts of their own, or that say something about a person, work, place or
# organisation; classes, topics and catalogue references are left out.
RELATIONS = (
    "P6 P17 P19 P20 P21 P22 P25 P26 P27 P30 P35 P36 P37 P38 P39 P40 P47 P50 P53 P54 P57 P58 P59 P61 P69 P81 P86 "
    "P87 P97 P98 P101 P102 P103 P106 P108 P112 P115 P119 P122 P127 P131 P135 P136 P137 P138 P140 P144 P150 P159 "
    "P162 P166 P169 P170 P172 P175 P176 P177 P178 P179 P183 P184 P185 P195 P206 P264 P272 P276 P286 P291 P344 "
    "P361 P364 P403 P407 P412 P413 P421 P425 P449 P451 P452 P463 P488 P495 P509 P551 P607 P610 P641 P674 P676 P737 "
    "P740 P749 P750 P8000 P915 P945 P1040 P1303 P1376 P1412 P1416 P1441 P1532 P2341 P2348 P2936 P3373 P4552"
).split()

# Relations with many objects for one subject: only the first few are kept, and only of well-linked subjects.
BULKY = frozenset(
    "P106 P136 P463 P166 P1412 P21 P172 P47 P150 P607 P69 P101 P737 P3373 P13030 P185 P276 P750 P800".split()
)
BULKY_OBJECTS = 1
BULKY_MIN_LINKS = 10

# A triple between a subject and an object that both have fewer facts than this carries no chain.
MIN_OUTGOING = 2

MAX_ALIASES = 2
MAX_ALIASES_LINKED = 24  # of items with at least this many kept triples, whose names people type
WELL_LINKED = 60
MAX_ALIAS_LENGTH = 28


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


def _number(identifier: str) -> int:
    return int(identifier[1:])


def _order(row: tuple[str, str, str]) -> tuple[int, int, int]:
    return _number(row[0]), _number(row[1]), _number(row[2])


def select(triples: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Keep the chain-rich part: chosen relations, bounded lists, no self-loops; sorted by numeric ids."""
    links = Counter(subject for subject, _, _ in triples)
    links.update(obj for _, _, obj in triples)
    keep, listed = [], Counter[tuple[str, str]]()
    for subject, relation, obj in sorted(set(triples), key=_order):
        if relation not in RELATIONS or subject == obj:
            continue
        if relation in BULKY:
            listed[subject, relation] += 1
            if links[subject] < BULKY_MIN_LINKS or listed[subject, relation] > BULKY_OBJECTS:
                continue
        keep.append((subject, relation, obj))
    outgoing, incoming = Counter(s for s, _, _ in keep), Counter(o for _, _, o in keep)
    return [
        (s, p, o)
        for s, p, o in keep
        if p not in BULKY
        and (outgoing[s] >= MIN_OUTGOING or outgoing[o] >= MIN_OUTGOING)
        or p in BULKY
        and incoming[s] + outgoing[s] >= BULKY_MIN_LINKS
    ]


def _aliases(raw: str, label: str, links: int) -> str:
    most = MAX_ALIASES_LINKED if links >= WELL_LINKED else MAX_ALIASES
    good = (a for a in raw.split("|") if 2 <= len(a) <= MAX_ALIAS_LENGTH and a.casefold() != label.casefold())
    return "|".join(sorted(good, key=lambda a: (not a.isascii(), len(a), a))[:most])


def build(source: Path, target: Path) -> tuple[int, int, int]:
    """Write the three files of the snapshot.

    Args:
        source: Folder with the larger slice.
        target: Folder that receives entities.tsv, relations.tsv and triples.tsv.

    Returns:
        Numbers of entities, relations and triples written.
    """
    triples = select([(s, p, o) for s, p, o in _rows(source / "triples.tsv")])
    links = Counter(identifier for s, _, o in triples for identifier in (s, o))
    entities = sorted(
        (
            (q, label, _aliases(rest[0] if rest else "", label, links[q]))
            for q, label, *rest in _rows(source / "entities.tsv")
            if q in links
        ),
        key=lambda row: _number(row[0]),
    )
    chosen = {p for _, p, _ in triples}
    relations = sorted(
        ((p, label) for p, label in _rows(source / "relations.tsv") if p in chosen),
        key=lambda row: _number(row[0]),
    )
    tables: dict[str, list[tuple[str, ...]]] = {
        "entities": list(entities),
        "relations": list(relations),
        "triples": list(triples),
    }
    for name, rows in tables.items():
        text = "".join("\t".join(row).rstrip("\t") + "\n" for row in rows)
        (target / f"{name}.tsv").write_text(text, encoding="utf-8")
    return len(entities), len(relations), len(triples)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    log.info("entities %d, relations %d, triples %d", *build(Path(sys.argv[1]), folder))
