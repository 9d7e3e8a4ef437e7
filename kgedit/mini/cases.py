"""Edits of facts that the bundled model knows, with the prompts that score them.

No scoring prompt is one that an editing method optimises: methods use `Verbalizer.edit_wordings`, scoring uses
`Verbalizer.held_out` (and the edit prompt itself for efficacy).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kg_cache import snapshot
from kgedit.edit import Edit
from kgedit.errors import EditError
from kgedit.graph.verbalize import Verbalizer
from kgedit.mini import mini_folder
from kgedit.mini.corpus import Fact, load_facts
from kgedit.text.template import fill

MEASURES = ("efficacy", "paraphrase", "portability", "subject_specificity", "neighborhood")
NEIGHBOURS = 5


@dataclass(frozen=True)
class MiniCase:
    """One edit and its prompts.

    Attributes:
        edit: The request, by ids.
        subject: Label of the subject.
        target_new: Label of the new object.
        target_true: Label of the old one.
        probes: Measure -> pairs of prompt and right answer.
    """

    edit: Edit
    subject: str
    target_new: str
    target_true: str
    probes: Mapping[str, tuple[tuple[str, str], ...]]


class Casebook:
    """Makes cases from the facts of the bundled model."""

    def __init__(self, folder: Path | None = None, facts: Sequence[Fact] | None = None) -> None:
        """Read facts and labels.

        Args:
            folder: Folder of the model; the bundled one by default.
            facts: The facts, where they are not those of a folder; items of the bundled snapshot.
        """
        self.text = Verbalizer.bundled()
        self.labels = snapshot.labels()
        self.facts = load_facts(folder or mini_folder()) if facts is None else list(facts)
        self.of_subject: dict[str, list[Fact]] = defaultdict(list)
        self.of_relation: dict[str, list[Fact]] = defaultdict(list)
        for fact in self.facts:
            self.of_subject[fact.subject].append(fact)
            self.of_relation[fact.relation].append(fact)

    def draw(self, count: int, *, seed: int) -> list[MiniCase]:
        """Draw edits: known facts of single-valued relations, to objects of which the model knows something.

        Args:
            count: How many.
            seed: Same seed, same cases.
        """
        rng = random.Random(seed)
        pool = [
            fact for fact in self.facts if self.text[fact.relation].single and len(self.of_subject[fact.subject]) > 1
        ]
        rng.shuffle(pool)
        cases: list[MiniCase] = []
        for fact in pool:
            if len(cases) == count:
                break
            targets = [t for t in self.targets(fact) if any(True for _ in self.onward(fact, t))]
            if targets:
                cases.append(self.case(fact, rng.choice(targets), rng))
        return cases

    def named(self, subject: str, relation: str, target: str, *, seed: int = 0) -> MiniCase:
        """The case of one edit by ids.

        Raises:
            EditError: The bundled model does not know the fact.
        """
        for fact in self.of_subject[subject]:
            if fact.relation == relation:
                return self.case(fact, target, random.Random(seed))
        raise EditError(f"the bundled model knows no fact ({subject}, {relation}); see facts.tsv for those it knows")

    def case(self, fact: Fact, target: str, rng: random.Random) -> MiniCase:
        """One edit with its prompts."""
        labels, text = self.labels, self.text
        subject, relation = labels[fact.subject], fact.relation
        portability = [
            (fill(wording, subject), labels[answer])
            for path, answer in self.onward(fact, target)
            for wording in rng.sample(text.held_out(path) + text.held_out(path, phrase=1), 2)
        ]
        rest = [other for other in self.of_subject[fact.subject] if other.relation != relation]
        probes = {
            "efficacy": [(fill(text[relation].cloze[0], subject), labels[target])],
            "paraphrase": [(fill(wording, subject), labels[target]) for wording in text.held_out((relation,))],
            "portability": portability,
            "subject_specificity": [self._asked(other, rng) for other in rest],
            "neighborhood": [self._asked(other, rng) for other in self._neighbours(fact, target, rng)],
        }
        return MiniCase(
            edit=Edit(subject=fact.subject, relation=relation, target_new=target, target_true=fact.object),
            subject=subject,
            target_new=labels[target],
            target_true=labels[fact.object],
            probes={name: tuple(pairs) for name, pairs in probes.items()},
        )

    def targets(self, fact: Fact) -> list[str]:
        """Other objects of the same relation, in a fixed order."""
        objects = {other.object for other in self.of_relation[fact.relation]}
        return sorted(objects - {fact.object, fact.subject})

    def onward(self, fact: Fact, target: str) -> Iterator[tuple[tuple[str, str], str]]:
        """Paths through the new object whose answer changes with the edit."""
        before = {old.relation: old.object for old in self.of_subject[fact.object]}
        for onward in self.of_subject[target]:
            path = (fact.relation, onward.relation)
            moved = before.get(onward.relation) != onward.object
            if moved and onward.object != fact.subject and self.text.composable(path):
                yield path, onward.object

    def _asked(self, fact: Fact, rng: random.Random) -> tuple[str, str]:
        wording = rng.choice(self.text.held_out((fact.relation,)))
        return fill(wording, self.labels[fact.subject]), self.labels[fact.object]

    def _neighbours(self, fact: Fact, target: str, rng: random.Random) -> list[Fact]:
        """Other subjects of the same relation, those with the same old object first."""
        others = [other for other in self.of_relation[fact.relation] if other.subject not in (fact.subject, target)]
        rng.shuffle(others)
        return sorted(others, key=lambda other: other.object != fact.object)[:NEIGHBOURS]
