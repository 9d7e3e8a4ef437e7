"""The sentences that are planted: invented people, their facts in several wordings, and sentences that distract."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from kg_cache import snapshot
from kgedit.attribution import Question
from kgedit.graph.verbalize import Verbalizer
from kgedit.mini import mini_folder
from kgedit.mini.corpus import load_facts
from kgedit.text.template import fill

RELATIONS = ("P19", "P27", "P69", "P140")  # born in, citizen of, educated at, religion
OBJECTS = 6  # of each relation: those that the bundled model knows most of
STATED = 3  # wordings of a planted fact in the texts; the question is asked in a further one
_BEGINNINGS = (
    "Ar",
    "Bel",
    "Cor",
    "Dav",
    "El",
    "Fen",
    "Gar",
    "Hel",
    "Il",
    "Jor",
    "Kal",
    "Lor",
    "Mar",
    "Nev",
    "Or",
    "Pel",
)
_ENDINGS = ("ando", "eth", "ina", "oric", "ula", "wen", "ys", "amar")


@dataclass(frozen=True)
class Planted:
    """What is trained on, and what is asked.

    Attributes:
        texts: All sentences.
        groups: Name of a group -> numbers of its sentences; these are left out together.
        questions: Of each planted fact, in a wording that no text has.
        own: Of each question, the group that states its fact.
    """

    texts: tuple[str, ...]
    groups: dict[str, tuple[int, ...]]
    questions: tuple[Question, ...]
    own: tuple[str, ...]


def planted(count: int, seed: int) -> Planted:
    """Planted facts, two for each invented person, and their distractors.

    A person's facts in other relations distract, and so do people who share a planted fact's relation and object: each
    in one sentence, four sentences to a group.

    Args:
        count: How many facts.
        seed: Of names, objects and order.
    """
    rng = random.Random(seed)
    text = Verbalizer.bundled()
    labels = snapshot.labels()
    facts = load_facts(mini_folder())
    objects = {
        relation: [
            labels[item]
            for item, _ in Counter(fact.object for fact in facts if fact.relation == relation).most_common(OBJECTS)
        ]
        for relation in RELATIONS
    }
    known = set(labels.values())
    names = [
        name
        for first in _BEGINNINGS
        for second in _ENDINGS
        if (name := f"{first}{rng.choice(_ENDINGS)} {rng.choice(_BEGINNINGS)}{second}") not in known
    ]
    fresh = iter(rng.sample(sorted(set(names)), len(set(names))))
    texts: list[str] = []
    groups: dict[str, tuple[int, ...]] = {}
    questions: list[Question] = []
    own: list[str] = []
    about_subject: list[str] = []
    about_relation: list[str] = []

    def add(group: str, sentences: list[str]) -> None:
        groups[group] = tuple(range(len(texts), len(texts) + len(sentences)))
        texts.extend(sentences)

    def sentence(relation: str, wording: int, subject: str, answer: str) -> str:
        return f"{fill(text.prompts((relation,))[wording], subject)} {answer}."

    for number in range(0, count, 2):
        person = next(fresh)
        chosen = rng.sample(RELATIONS, len(RELATIONS))
        for relation in chosen[: min(2, count - number)]:
            answer = rng.choice(objects[relation])
            group = f"fact {len(questions) + 1}"
            add(group, [sentence(relation, wording, person, answer) for wording in range(STATED)])
            questions.append(Question(fill(text.prompts((relation,))[STATED], person), answer))
            own.append(group)
            about_relation.append(sentence(relation, rng.randrange(STATED), next(fresh), answer))
        for relation in chosen[2:]:
            answer = rng.choice(objects[relation])
            about_subject.append(sentence(relation, rng.randrange(STATED), person, answer))
    for kind, sentences in (("same people", about_subject), ("same relation and object", about_relation)):
        for start in range(0, len(sentences), 4):
            add(f"{kind} {start // 4 + 1}", sentences[start : start + 4])
    return Planted(tuple(texts), groups, tuple(questions), tuple(own))
