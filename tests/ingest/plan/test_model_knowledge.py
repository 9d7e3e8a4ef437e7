"""A language model is familiar with a subject if it says a fact of it in any wording, by any name of the object."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg_cache.graph import Entity, Relation, Triple
from kg_cache.store import Store
from kgedit.edit import Edit
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.plan.model_knowledge import ModelKnowledge
from kgedit.resolve import Resolver
from lm.scoring.test_exact_answers import teach


@pytest.mark.parametrize(
    ("text", "knows"),
    [
        ("The capital of Japan is Tokyo and it is", True),
        ("The capital of Japan is the Edo, where", True),
        ("Japan is ruled from its capital, Tokyo and", True),
        ("Japan is ruled from its capital, Kyoto and", False),
    ],
)
def test_one_fact_in_any_wording_is_enough(tmp_path: Path, text: str, knows: bool) -> None:
    model, tok = teach(text)
    wordings = Verbalizer.bundled()
    with Store(tmp_path / "graph.sqlite") as graph:
        graph.add(
            [Triple("Q17", "P36", "Q1490")],
            [
                Entity(id="Q17", label="Japan"),
                Entity(id="Q1490", label="Tokyo", aliases=(*(f"Name {i}" for i in range(9)), "Edo")),
                Entity(id="Q90", label="Paris"),
            ],
            relations=[Relation(id="P36", label="capital")],
        )
        change = Resolver(graph, wordings).resolve(Edit(subject="Q17", relation="P36", target_new="Q90"))
        (familiar,) = ModelKnowledge(model, tok, graph, wordings).familiar([change])
    assert familiar is not None
    assert familiar.knows is knows
    assert familiar.told == "1 asked, first 'The capital of Japan is': Tokyo"
