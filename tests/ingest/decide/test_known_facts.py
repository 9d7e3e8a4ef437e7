"""A model that recalls few facts is asked a bounded number of them, once per model and graph."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kg_cache.bundled import bundled_store
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.kept_verdicts import KeptVerdicts
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.recall_walk import MOST, SAMPLE, KnownFact
from lm.scoring.test_exact_answers import teach

MODEL: Any = None
RELATIONS = ("P27", "P19", "P30", "P36")


def facts(count: int) -> tuple[KnownFact, ...]:
    return tuple(
        KnownFact(f"Q{i}", RELATIONS[i % 4], f"Q{10**6 + i % 90}", f"Subject {i}", f"Object {i % 90}")
        for i in range(count)
    )


class Scripted(FactPool):
    """A pool whose model recalls some facts in a hundred of three relations, and none of P19."""

    recalls = 5
    asked: list[KnownFact]

    def ask(self, model: Any, tokenizer: Any, facts: Sequence[KnownFact], wording: int = 0) -> list[bool]:
        self.asked.extend(facts)
        return [
            fact.relation != "P19" and hashlib.sha256(fact.subject.encode()).digest()[1] % 100 < self.recalls
            for fact in facts
        ]


def scripted(recalls: int = 5, count: int = 12000, kept: KeptVerdicts | None = None) -> Scripted:
    pool = Scripted(facts(count), Verbalizer.bundled(), kept)
    object.__setattr__(pool, "asked", [])
    object.__setattr__(pool, "recalls", recalls)
    return pool


def test_a_model_that_recalls_few_is_not_asked_everything() -> None:
    pool = scripted()
    recalled = pool.recalled(MODEL, MODEL, 300, seed=0, part="protected")
    assert len(pool.asked) <= MOST
    assert 40 < len(recalled) < 300
    # Behind the sample, a relation of which nothing was recalled is passed over.
    assert "P19" in {fact.relation for fact in pool.asked[:SAMPLE]}
    assert "P19" not in {fact.relation for fact in pool.asked[SAMPLE:]}
    assert recalled == scripted().recalled(MODEL, MODEL, 300, seed=0, part="protected")
    assert recalled != scripted().recalled(MODEL, MODEL, 300, seed=1, part="protected")


def test_a_model_that_recalls_most_is_asked_in_the_plain_order() -> None:
    pool = scripted(recalls=100)
    assert len(pool.recalled(MODEL, MODEL, 2000, seed=0, part="protected")) == 2000
    assert "P19" in {fact.relation for fact in pool.asked[SAMPLE:]}


def test_what_is_left_out_does_not_change_the_rest() -> None:
    recalled = scripted().recalled(MODEL, MODEL, 50, seed=0, part="measured")
    without = scripted().recalled(MODEL, MODEL, 49, seed=0, part="measured", without={recalled[3].subject})
    assert without == recalled[:3] + recalled[4:]


@pytest.mark.parametrize("damage", [b"", b"\x00\xff\n1", b"[]\n1", b'{"sha256": "0"}\n1111'])
def test_verdicts_are_kept_and_asked_again_when_damaged(tmp_path: Path, damage: bytes) -> None:
    told: list[str] = []
    few = partial(scripted, recalls=30, count=2000)
    kept = KeptVerdicts(tmp_path, "hash", lambda what, done, total: told.append(what))
    first = few(kept=kept)
    recalled = first.recalled(MODEL, MODEL, 30, seed=0, part="watched")
    again = few(kept=kept)
    assert again.recalled(MODEL, MODEL, 30, seed=0, part="watched") == recalled
    assert again.asked == []
    # A larger draw goes on from there; another model, seed or graph begins anew.
    more = few(kept=kept)
    assert more.recalled(MODEL, MODEL, 40, seed=0, part="watched")[:30] == recalled
    assert first.asked + more.asked == list(dict.fromkeys(first.asked + more.asked))
    for other in (few(kept=KeptVerdicts(tmp_path, "other")), few(count=1800, kept=kept)):
        other.recalled(MODEL, MODEL, 30, seed=0, part="watched")
        assert other.asked
    for file in tmp_path.iterdir():
        file.write_bytes(damage)
    assert told == []
    rebuilt = few(kept=kept)
    assert rebuilt.recalled(MODEL, MODEL, 30, seed=0, part="watched") == recalled
    assert rebuilt.asked[: len(first.asked)] == first.asked
    assert "damaged" in told[0]


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    pool = scripted(kept=KeptVerdicts(tmp_path / "file", "hash"))
    assert pool.recalled(MODEL, MODEL, 30, seed=0, part="watched")


def test_a_fact_is_kept_by_any_name_of_its_object() -> None:
    ann = KnownFact("Q1", "P27", "Q30", "Ann", "United States of America")
    pool = FactPool((ann,), Verbalizer.bundled(), graph=bundled_store())
    prompt, _ = pool.question(ann)
    model, tok = teach(f"{prompt} the United States, and")
    # It is no fact that would be drawn; but a model that gave the label before has not lost it.
    assert pool.ask(model, tok, [ann]) == [False]
    assert pool.ask_again(model, tok, [ann]) == [True]
    model, tok = teach(f"{prompt} the United Arab Emirates, and")
    assert pool.ask_again(model, tok, [ann]) == [False]


def test_a_label_of_two_items_has_no_other_names() -> None:
    ann = KnownFact("Q1", "P27", "Q30", "Ann", "United States of America")
    bob = ann._replace(subject="Q2", object="Q145", subject_label="Bob")
    assert "USA" in FactPool((ann,), Verbalizer.bundled(), graph=bundled_store()).names(ann.object_label)
    both = FactPool((ann, bob), Verbalizer.bundled(), graph=bundled_store())
    assert both.names(ann.object_label) == (ann.object_label,)
    assert FactPool((ann,), Verbalizer.bundled()).names(ann.object_label) == (ann.object_label,)
