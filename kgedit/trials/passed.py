"""Draws edits that questions about other items pass through, by which later layers are chosen.

"The capital of the country of citizenship of X" passes through a changed capital without naming the country.
docs/methods.md, "Writing to later layers".
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.evaluate.made.mined import fact_pool
from kgedit.ingest.decide.known_facts import PARTS, FactPool
from kgedit.ingest.decide.made_changes import changed_fact, likely_objects
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.text.template import fill
from kgedit.trials.draw import TrialEdit, made_ready

_JOINED = 240  # recalled facts of each part, among which those are sought that follow one another
_QUESTIONS = 4  # of one edit


def draw_passed(editor: Editor, count: int, *, seed: int) -> list[TrialEdit]:
    """Draw edits of recalled facts that other recalled facts lead to, no two of one subject.

    Args:
        editor: Editor of the unedited model; its method says how far subgraphs reach.
        count: How many; fewer come back where the model recalls too few facts that follow one another.
        seed: Same seed, same edits.
    """
    pool, rng = fact_pool(editor), random.Random(seed)
    known = _single_facts(editor, pool, seed)
    leading: dict[str, list[KnownFact]] = defaultdict(list)
    for fact in known:
        leading[fact.object].append(fact)
    objects = likely_objects(pool)
    edits: list[Edit] = []
    questions: list[list[str]] = []
    for fact in rng.sample(known, len(known)):
        if len(edits) == count:
            break
        ways = [way for way in leading[fact.subject] if pool.text.composable((way.relation, fact.relation))]
        if not ways or fact.subject in {edit.subject for edit in edits}:
            continue
        if edit := changed_fact(fact, objects, rng):
            # Nothing is asked about the new object itself.
            ways = [way for way in ways if way.subject != edit.target_new]
            if ways:
                edits.append(edit)
                questions.append(_through(pool, fact, ways, rng))
    ready = made_ready(editor, pool, edits, rng)
    return [
        replace(edit, through=tuple((prompt, edit.request.target) for prompt in asked))
        for edit, asked in zip(ready, questions, strict=True)
    ]


def _single_facts(editor: Editor, pool: FactPool, seed: int) -> list[KnownFact]:
    """Recalled facts of every part, of relations with one object."""
    return [
        fact
        for part in sorted(set(PARTS))
        for fact in pool.recalled(editor.model, editor.tokenizer, _JOINED, seed=seed, part=part)
        if pool.text[fact.relation].single
    ]


def _through(pool: FactPool, fact: KnownFact, ways: Sequence[KnownFact], rng: random.Random) -> list[str]:
    """Questions that lead over a way and then the fact, in wordings that nothing optimises."""
    return [
        fill(rng.choice(pool.text.held_out((way.relation, fact.relation))), way.subject_label)
        for way in rng.sample(ways, min(_QUESTIONS, len(ways)))
    ]
