"""Small graphs, written as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kg_cache.graph import Triple
from kg_cache.store import Store


@pytest.fixture
def make_graph(tmp_path: Path) -> Iterator:
    opened = []

    def make(text: str) -> Store:
        graph = Store(tmp_path / f"graph{len(opened)}.sqlite", name="test graph")
        graph.add([Triple(*part.split()) for part in text.split(";")], source="test")
        opened.append(graph)
        return graph

    yield make
    for graph in opened:
        graph.close()
