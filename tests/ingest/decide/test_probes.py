"""What is asked about a change: neighbours are a share only where there are enough of them."""

from __future__ import annotations

import pytest

from families import tiny_model
from kgedit.edit import Edit
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide import known_facts as module
from kgedit.ingest.decide.known_facts import FactPool, part_of
from kgedit.ingest.decide.probes import make_probes
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.methods.base import Request

TEXT = Verbalizer.bundled()
WATCHED = [f"Q{number}" for number in range(1, 400) if part_of(f"Q{number}", "P86") == "watched"]


@pytest.mark.parametrize(("watched", "asked"), [(0, 0), (1, 0), (2, 0), (3, 3), (9, 5)])
def test_one_neighbour_of_a_rare_relation_does_not_refuse_a_change(monkeypatch, watched: int, asked: int) -> None:
    put: list[tuple[str, str]] = []
    monkeypatch.setattr(module, "ask_all", lambda model, tokenizer, new: [not put.append(one) for one in new])
    facts = tuple(
        KnownFact(subject, "P86", "Q5383", f"Film {subject}", "David Bowie") for subject in WATCHED[:watched]
    )
    request = Request("Hitchcock", TEXT["P86"].cloze[0], "Bob Dylan", "P86")
    edit = Edit(subject="Q247733", relation="P86", target_new="Q392")
    model = tiny_model("gpt2")
    ask = module.AskedOnce(*model)
    made = make_probes(*model, request, None, edit, FactPool(facts, TEXT), TEXT, ask)
    assert len(made.neighbours) == asked
    # Another change of the relation has the same neighbours: nothing new is asked.
    other = Edit(subject="Q25191", relation="P86", target_new="Q392")
    assert make_probes(*model, request, None, other, FactPool(facts, TEXT), TEXT, ask).neighbours == made.neighbours
    assert len(put) == len(set(put)) == min(watched, 10)


def test_what_another_change_of_the_batch_alters_need_not_stay(monkeypatch) -> None:
    monkeypatch.setattr(module, "ask_all", lambda model, tokenizer, new: [True] * len(new))
    facts = tuple(KnownFact(subject, "P86", "Q5383", f"Film {subject}", "David Bowie") for subject in WATCHED[:4])
    request = Request("Hitchcock", TEXT["P86"].cloze[0], "Bob Dylan", "P86")
    edit = Edit(subject="Q247733", relation="P86", target_new="Q392")
    model = tiny_model("gpt2")
    # One of the four neighbours has another composer now, and one has only another director.
    together = {(facts[0].subject_label, "P86"): "Bob Dylan", (facts[1].subject_label, "P57"): "David Lean"}
    pool, ask = FactPool(facts, TEXT), module.AskedOnce(*model)
    made = make_probes(*model, request, None, edit, pool, TEXT, ask, together)
    assert [question for question, _ in made.neighbours] == [pool.question(fact)[0] for fact in facts[1:]]
