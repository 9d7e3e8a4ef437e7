"""`kgedit graph import` beside the parser alone, on a made file of truthy N-Triples.

    python -m benchmarks.import_dump [--triples 1000000] [--seed 0] [--form nt.gz] [--claims-only] [--out DIR]

The file is made as Wikidata's truthy dump is: item by item, of 50 statements each 6 direct claims between items, 6 of
dates, texts and identifiers, labels in four languages under three predicates, 24 descriptions and 2 aliases. With
`--claims-only` each statement is a claim between items, which is what costs the store most. Each measurement is a
process of its own, twice in turns, and the faster counts. Prints one JSON object: statements a second of pyoxigraph,
which reads the same packed file and drops what it reads, and of the import; their ratio, also by processor seconds,
which other programs disturb less; the import's largest memory.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from kg_cache.importing import import_triples
from kg_cache.packed import unpacked
from kg_cache.queries import ALT_LABEL, DIRECT, ENTITY, LABEL
from kg_cache.store import Store

_OTHER_LABELS = ("http://www.w3.org/2004/02/skos/core#prefLabel", "http://schema.org/name")
_DESCRIPTION, _DATE = "http://schema.org/description", "http://www.w3.org/2001/XMLSchema#dateTime"
_ITEMS, _PROPERTIES = 100_000_000, 3000
_WORDS = "river town singer lake album station family mountain battle bridge species protein street novel".split()


def statements(seed: int, claims_only: bool) -> Iterator[str]:
    """Lines of N-Triples, without end."""
    draw = random.Random(seed)
    number = 0

    def text() -> str:
        return " ".join(draw.choices(_WORDS, k=4))

    while True:
        number += draw.randint(1, 20)
        item = f"<{ENTITY}Q{number}>"

        def claim(value: str, item: str = item) -> str:
            return f"{item} <{DIRECT}P{1 + int(draw.paretovariate(0.5)) % _PROPERTIES}> {value} .\n"

        for _ in range(50 if claims_only else 6):
            yield claim(f"<{ENTITY}Q{1 + int(_ITEMS * draw.random() ** 4)}>")
        if claims_only:
            continue
        for value in (f'"1{draw.randint(100, 999)}-01-01T00:00:00Z"^^<{_DATE}>', f'"{text()}"', '"Q-12/34"') * 2:
            yield claim(value)
        for language in ("en", "de", "fr", "ja"):
            label = text()
            for predicate in (LABEL, *_OTHER_LABELS):
                yield f'{item} <{predicate}> "{label}"@{language} .\n'
        for language in range(24):
            yield f'{item} <{_DESCRIPTION}> "{text()}"@x{chr(97 + language)} .\n'
        for language in ("en", "es"):
            yield f'{item} <{ALT_LABEL}> "{text()}"@{language} .\n'


def parsed(path: Path) -> int:
    """Number of statements; each is read and dropped."""
    from pyoxigraph import RdfFormat, parse

    with path.open("rb") as file, unpacked(file, path.name) as content:
        return sum(1 for _ in parse(content, RdfFormat.N_TRIPLES))


def imported(path: Path) -> int:
    """Number of statements that an import into a new store has read."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, Store(Path(folder) / "graph.sqlite") as store:
        report = import_triples(path, store)
    return report.triples + report.names + report.skipped


def measured(work: str, path: Path) -> dict[str, float]:
    """Seconds and MB of one of the two in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.import_dump", "--work", work, str(path)]
    return dict(json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout))


def main() -> None:
    """Make the file, measure both, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triples", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--form", choices=("nt", "nt.gz", "nt.bz2"), default="nt.gz")
    parser.add_argument("--claims-only", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for the file; a temporary one by default")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        wall, processor, path = time.perf_counter(), time.process_time(), Path(given.work[1])
        read = {"parse": parsed, "import": imported}[given.work[0]](path)
        seconds = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"read": read, **seconds, "MB": memory}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        path = (given.out or Path(temporary)) / f"made.{given.form}"
        opened = {"nt": open, "nt.gz": gzip.open, "nt.bz2": bz2.open}[given.form]
        with opened(path, "wt") as file:
            file.writelines(islice(statements(given.seed, given.claims_only), given.triples))
        took: dict[str, list[dict[str, float]]] = {"parse": [], "import": []}
        for work in ("parse", "import") * 2:
            took[work].append(measured(work, path))
        wall, processor = (
            {work: given.triples / min(run[clock] for run in runs) for work, runs in took.items()}
            for clock in ("wall", "processor")
        )
        report = {
            "file": f"{given.triples:,} statements, seed {given.seed}, {path.stat().st_size / 1e6:.0f} MB packed",
            "read": took["import"][0]["read"],
            "parser, statements a second": round(wall["parse"]),
            "import, statements a second": round(wall["import"]),
            "ratio": round(wall["import"] / wall["parse"], 3),
            "ratio by processor seconds": round(processor["import"] / processor["parse"], 3),
            "import, MB at most": round(max(run["MB"] for run in took["import"])),
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
