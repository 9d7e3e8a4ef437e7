"""Edits to learn editing from: changes of facts that a model recalls, in all wordings, with facts that stay.

Training takes the protected part of the known facts, its looks at held-out edits the watched part, and the figures at
its end are of edits of the measured part (`decide.known_facts`): no fact is edited in two of them.
"""

from __future__ import annotations

import random

from kgedit.editor import Editor
from kgedit.errors import DataError
from kgedit.evaluate.made.mined import fact_pool
from kgedit.ingest.decide.known_facts import FactPool, Part, part_of
from kgedit.ingest.decide.made_changes import likely_objects
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.trials.draw import TrialEdit, draw_edits

_OBJECTS = 3  # new objects drawn for each fact
_AROUND = 8  # facts of the same relation that stay, those with the same old object first
_OTHER_FIRST = 0.25  # share of the lessons whose edit prompt is another wording than the relation's first


def draw_lessons(editor: Editor, facts: int, held_out: int, *, seed: int) -> tuple[Curriculum, Curriculum]:
    """What a method that learns to edit is trained on, and what its training is stopped by.

    Args:
        editor: Editor of the unedited model.
        facts: The most facts to learn from; each is changed to several new objects.
        held_out: How many edits are held out; of other facts.
        seed: Same seed, same edits.

    Raises:
        DataError: The model recalls too few facts.
    """
    pool = fact_pool(editor)
    learned, looked = (
        _curriculum(editor, pool, facts, "protected", seed),
        _curriculum(editor, pool, held_out, "watched", seed),
    )
    if not learned.lessons or not looked.lessons:
        raise DataError(
            f"{editor.name!r} recalls too few of the facts of the graph {editor.graph.name!r} to learn editing from; "
            "give a graph of facts that it knows (--graph)"
        )
    return learned, looked


def draw_tests(editor: Editor, count: int, *, seed: int) -> list[TrialEdit]:
    """Edits of facts that no training has seen.

    Args:
        editor: Editor of the unedited model.
        count: The most edits.
        seed: Same seed, same edits.

    Raises:
        DataError: The model recalls none of the facts that it was asked, or none of those that are kept for tests.
    """
    drawn = draw_edits(editor, 3 * count, seed=seed)  # of each part a third
    found = [edit for edit in drawn if part_of(edit.edit.subject, str(edit.edit.relation)) == "measured"][:count]
    if not found:
        raise DataError(
            f"of {len(drawn)} facts that {editor.name!r} recalls none is left to report on; ask for more edits in the "
            "report, or take another seed"
        )
    return found


def _curriculum(editor: Editor, pool: FactPool, count: int, part: Part, seed: int) -> Curriculum:
    facts = pool.recalled(editor.model, editor.tokenizer, count, seed=seed, part=part)
    objects, labels = likely_objects(pool), {fact.object: fact.object_label for fact in pool.facts}
    # What stays is compared with the unedited model's own answer, so it need not be recalled, nor be of one part.
    of_relation: dict[str, list[KnownFact]] = {}
    for fact in pool.facts:
        if part_of(fact.subject, fact.relation) != "measured":
            of_relation.setdefault(fact.relation, []).append(fact)
    rng = random.Random(f"{part} {seed}")
    lessons = []
    for fact in facts:
        others = [item for item in objects.get(fact.relation, ()) if item not in (fact.object, fact.subject)]
        near = [other for other in of_relation[fact.relation] if other.subject != fact.subject]
        rng.shuffle(near)
        near.sort(key=lambda other, old=fact.object: other.object != old)  # type: ignore[misc]
        around = tuple(rng.choice(pool.questions(other)) for other in near[:_AROUND])
        for item in rng.sample(others, min(_OBJECTS, len(others))):
            wordings = [(prompt, labels[item]) for prompt, _ in pool.questions(fact)]
            if rng.random() < _OTHER_FIRST:
                wordings.insert(0, wordings.pop(rng.randrange(len(wordings))))
            lessons.append(Lesson(tuple(wordings), around=around))
    rng.shuffle(lessons)
    return Curriculum(tuple(lessons), facts=tuple(pool.questions(fact) for fact in facts))
