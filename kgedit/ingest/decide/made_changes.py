"""Makes changes of facts that a model recalls: another object of the same relation, drawn with a seed.

They serve where a model has no changes of its own to try: calibration of guards, and benchmarks.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.edit import Edit
from kgedit.ingest.decide.known_facts import PARTS, FactPool
from kgedit.ingest.decide.recall_walk import KnownFact

_USES = 3  # facts of a relation that an object must have to be drawn


def made_changes(
    pool: FactPool, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int
) -> list[Edit]:
    """Draw edits of recalled facts, of each part of the known facts the same number, no two of one subject.

    Args:
        pool: The candidates.
        model: The model, unedited.
        tokenizer: Its tokenizer.
        count: How many; fewer come back where the model recalls too little.
        seed: Same seed, same edits.
    """
    # 1. Facts to change: recalled ones, of each part twice as many as are wanted.
    parts = sorted(set(PARTS))
    share = -(-count // len(parts))
    facts = [fact for part in parts for fact in pool.recalled(model, tokenizer, 2 * share, seed=seed, part=part)]
    rng = random.Random(seed)
    rng.shuffle(facts)
    # 2. New objects: those that some facts of the same relation have.
    objects = likely_objects(pool)
    # 3. One edit a subject, with an object drawn from these.
    edits: dict[str, Edit] = {}
    for fact in facts:
        if fact.subject not in edits and (edit := changed_fact(fact, objects, rng)):
            edits[fact.subject] = edit
    return list(edits.values())[:count]


def changed_fact(fact: KnownFact, objects: Mapping[str, Sequence[str]], rng: random.Random) -> Edit | None:
    """The fact with another object, drawn from those of its relation; None where there is no other."""
    others = [item for item in objects.get(fact.relation, ()) if item not in (fact.object, fact.subject)]
    if not others:
        return None
    return Edit(subject=fact.subject, relation=fact.relation, target_new=rng.choice(others), target_true=fact.object)


def likely_objects(pool: FactPool) -> dict[str, list[str]]:
    """Relation -> the objects that some of its facts have, in order; new objects are drawn from these."""
    uses = Counter((fact.relation, fact.object) for fact in pool.facts)
    objects: dict[str, list[str]] = {}
    for (relation, item), number in sorted(uses.items()):
        if number >= _USES:
            objects.setdefault(relation, []).append(item)
    return objects
