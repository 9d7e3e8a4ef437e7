"""A language model knows a fact if it says a name of the object, and a subject if it knows a fact of it."""

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
        ("The capital of Japan is tyo, where", False),
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
                Entity(id="Q1490", label="Tokyo", aliases=(*(f"Name {i}" for i in range(9)), "tyo", "Edo")),
                Entity(id="Q90", label="Paris"),
            ],
            relations=[Relation(id="P36", label="capital")],
        )
        change = Resolver(graph, wordings).resolve(Edit(subject="Q17", relation="P36", target_new="Q90"))
        (familiar,) = ModelKnowledge(model, tok, graph, wordings).familiar([change])
    assert familiar is not None
    assert familiar.knows is knows
    assert familiar.told == "1 asked, first 'The capital of Japan is': Tokyo"


@pytest.mark.parametrize(("said", "known"), [("Italian and", True), ("Italiano, which", True), ("it and", False)])
def test_codes_are_no_names_of_the_new_object_and_take_no_place_of_one(tmp_path: Path, said: str, known: bool) -> None:
    model, tok = teach(f"Dante Alighieri spoke {said}")
    codes = ("it", "ita", *(f"ISO 639:it{i}" for i in range(6)))
    wordings = Verbalizer.bundled()
    with Store(tmp_path / "graph.sqlite") as graph:
        graph.add([], [Entity(id="Q652", label="Italian", aliases=(*codes, "Italiano"))])
        edit = Edit(subject="Dante Alighieri", prompt="{} spoke", target_new="Q652")
        change = Resolver(graph, wordings).resolve(edit)
        assert ModelKnowledge(model, tok, graph, wordings).known([change]) == [known]
