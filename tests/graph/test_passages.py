"""Passages state facts of one subject each, and nothing else."""

from __future__ import annotations

from kg_cache.bundled import bundled_store
from kgedit.graph.passages import fact_passages
from kgedit.graph.verbalize import Verbalizer


def test_every_passage_states_facts_of_the_graph() -> None:
    graph, text = bundled_store(), Verbalizer.bundled()
    passages = list(fact_passages(graph, text))
    assert len(passages) > 3000
    assert passages[:50] == list(fact_passages(graph, text))[:50]
    assert passages[:50] != list(fact_passages(graph, text, seed=1))[:50]
    labels = graph.labels(sorted({end for t in graph.triples() for end in (t.subject, t.object)}))
    about = [passage for passage in passages if "Albert Einstein" in passage]
    objects = {labels[t.object] for t in graph.triples() if labels.get(t.subject) == "Albert Einstein"}
    assert any(sum(name in passage for name in objects) > 3 for passage in about)
    assert all(passage.endswith(".") and "{}" not in passage and "\n" not in passage for passage in passages)
