"""The facts of a graph as passages of text: what second moments are collected from where there is no corpus.

Each passage is about one subject and states a few of its facts in wordings drawn at random, as edits and questions
about facts will put them.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

from kg_cache.graph import Triple, named
from kg_cache.store import Store
from kgedit.graph.verbalize import Verbalizer
from kgedit.text.template import fill

_MOST = 8  # facts of one passage


def fact_passages(graph: Store, text: Verbalizer, *, seed: int = 0) -> Iterator[str]:
    """Passages about the subjects of a graph, in an order drawn at random.

    Args:
        graph: Facts on this machine; those without wordings or labels are left out.
        text: The wordings.
        seed: Same graph and seed, same passages.
    """
    rng = random.Random(seed)
    about: dict[str, list[Triple]] = defaultdict(list)
    for triple in graph.triples():
        if triple.relation in text:
            about[triple.subject].append(triple)
    ends = {end for triples in about.values() for triple in triples for end in (triple.subject, triple.object)}
    labels = graph.labels(sorted(ends))
    subjects = sorted(about)
    rng.shuffle(subjects)
    for subject in subjects:
        facts = [triple for triple in about[subject] if named(labels, triple.subject) and named(labels, triple.object)]
        rng.shuffle(facts)
        sentences = [_sentence(triple, labels, text, rng) for triple in facts[:_MOST]]
        if sentences:
            yield " ".join(sentences)


def _sentence(triple: Triple, labels: dict[str, str], text: Verbalizer, rng: random.Random) -> str:
    wording = rng.choice((*text.prompts((triple.relation,)), *text.questions((triple.relation,))))
    return f"{fill(wording, labels[triple.subject])} {labels[triple.object]}."
