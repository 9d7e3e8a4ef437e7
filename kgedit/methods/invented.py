"""Texts in which a new fact has to be used, with attributes invented for each of them (CaKE: Yao et al., EMNLP 2025).

A model that learned only the sentence of an edit does not use the fact in a chain. So it is trained to use it as the
second hop, behind a description of the subject that only the text gives, and as the first hop, with something about
the new object that only the text says. Nothing of the world is in them beside the edit, so no answer of a test is
given away. CaKE has a language model write such texts; these are filled from the relations' wordings. docs/methods.md,
"Texts with invented attributes".
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from kgedit.graph.verbalize import Verbalizer
from kgedit.methods.base import Request
from kgedit.methods.curriculum import Question
from kgedit.text.template import fill

# Where two things are put, and the values that tell them apart. Both kinds of text are made of each.
_PLACES = (
    ("in", ("green", "red", "blue", "white", "black", "yellow")),
    ("on card", ("one", "two", "three", "four", "five", "six")),
    ("at table", ("seven", "eight", "nine", "ten", "eleven", "twelve")),
)


def invented_texts(request: Request, alike: Sequence[tuple[str, str]], text: Verbalizer) -> tuple[Question, ...]:
    """Texts that ask for an edit as second and as first hop; the same edit among the same facts gives the same ones.

    Args:
        request: The edit.
        alike: Subject and object of facts of its relation, one of which stands beside it in each text.
        text: Wordings.

    Returns:
        Prompt and answer of each; none where the relation has no wordings, or nothing can stand beside the edit.
    """
    others = [pair for pair in alike if request.subject not in pair and request.target not in pair]
    if request.relation is None or request.relation not in text or not others:
        return ()
    rng = random.Random(f"{request.question} {request.target}")
    wordings = text.edit_wordings((request.relation,))
    phrase = text[request.relation].phrase[0]
    asked: list[Question] = []
    for number, (place, values) in enumerate(_PLACES):
        (subject, obj), (here, there) = rng.choice(others), rng.sample(values, 2)
        # Second hop: the subject is reached by where it is.
        one = fill(wordings[number % 2], f"the one {place} {here}")
        shown = _shown((request.subject, here), (subject, there), place, rng)
        asked.append((f"{shown} {one[0].upper()}{one[1:]}", request.target))
        # First hop: the new object is reached over the edit, and where it is has to be told.
        reached = fill(phrase, request.subject)
        shown = _shown((request.target, here), (obj, there), place, rng)
        asked.append((f"{shown} {reached[0].upper()}{reached[1:]} is {place}", here))
    return tuple(asked)


def _shown(own: tuple[str, str], other: tuple[str, str], place: str, rng: random.Random) -> str:
    """Says where two things are, in either order: "Oslo is on card two, Rome on card five."."""
    (one, first), (two, second) = rng.sample([own, other], 2)
    return f"{one} is {place} {first}, {two} {place} {second}."
