"""What needs no second implementation: start-up over an empty interpreter, and subgraphs from a warm store."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.bench.measure import Spent
from kg_cache.bundled import bundled_store
from kgedit.graph.subgraph import build_subgraph
from kgedit.mini import mini_folder
from kgedit.mini.corpus import load_facts

_TIMES = 5
_STARTS = {
    "python -c pass": ["-c", "pass"],
    "import kgedit": ["-c", "import kgedit"],
    "kgedit --help": ["-m", "kgedit", "--help"],
    "kgedit edit --help": ["-m", "kgedit", "edit", "--help"],
    "import torch, transformers": ["-c", "import torch; from transformers import AutoModelForCausalLM"],
}


def starts() -> list[dict[str, Any]]:
    """The least of some fresh processes each, over the empty interpreter's."""
    best = {
        name: Spent(*map(min, zip(*(_start(words) for _ in range(_TIMES)), strict=True)))
        for name, words in _STARTS.items()
    }
    empty = best.pop("python -c pass")
    return [
        {"row": f"{name}, over an empty Python", "seconds": one.wall - empty.wall, "cpu_seconds": one.cpu - empty.cpu}
        for name, one in best.items()
    ]


def _start(words: list[str]) -> Spent:
    before, begin = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    wall, after = time.perf_counter() - begin, os.times()
    children = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return Spent(wall, children)


def subgraphs(count: int = 100) -> list[dict[str, Any]]:
    """Median time of a subgraph of order 2 with 40 edges, from a store that has been asked once."""
    facts, store = load_facts(mini_folder())[:count], bundled_store()
    found: list[Spent] = []
    for _ in range(2):  # the first time warms the store
        found.clear()
        for fact in facts:
            wall, cpu = time.perf_counter(), time.process_time()
            build_subgraph(store, fact.subject, fact.relation, fact.object, order=2, max_edges=40)
            found.append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = map(statistics.median, zip(*found, strict=True))
    return [{"row": "subgraph of order 2, 40 edges, warm store", "seconds": wall, "cpu_seconds": cpu}]
