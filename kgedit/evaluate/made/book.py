"""Casebook of the bundled model's facts with what benchmarks need beside: by subject, by object, with all names."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from kg_cache import snapshot
from kgedit.evaluate.measures.matching import contains
from kgedit.mini.cases import Casebook
from kgedit.mini.corpus import Fact
from kgedit.text.names import may_be_name
from kgedit.text.template import fill

DEV_SHARE = 0.4


class Book(Casebook):
    """The casebook with what chains and published formats need beside it."""

    def __init__(self, folder: Path | None = None, facts: Sequence[Fact] | None = None) -> None:
        """Read facts, labels and aliases.

        Args:
            folder: Folder of the model; the bundled one by default.
            facts: The facts, where they are not those of a folder.
        """
        super().__init__(folder, facts)
        self.object_of = {(fact.subject, fact.relation): fact.object for fact in self.facts}
        self.subjects_of: dict[tuple[str, str], list[str]] = defaultdict(list)
        for fact in self.facts:
            self.subjects_of[fact.relation, fact.object].append(fact.subject)
        self._aliases = {row[0]: tuple(row[2].split("|")) for row in snapshot.rows("entities") if len(row) > 2}
        self._apart: dict[tuple[str, str], bool] = {}

    def other_names(self, entity: str) -> tuple[str, ...]:
        """Aliases of an item without its label, and without codes such as "it" that are words as well."""
        aliases = dict.fromkeys(self._aliases.get(entity, ()))
        return tuple(name for name in aliases if name != self.labels[entity] and may_be_name(name))

    def apart(self, one: str, other: str) -> bool:
        """Whether an answer that names one item can never count as the other, whose name or alias it may contain."""
        pair = (one, other) if one < other else (other, one)
        if pair not in self._apart:
            self._apart[pair] = not any(
                contains(self.labels[said], (self.labels[meant], *self.other_names(meant)))
                for said, meant in (pair, pair[::-1])
            )
        return self._apart[pair]

    def parts(self, seed: int) -> dict[str, frozenset[str]]:
        """All subjects, each in one part: "dev" has two fifths of them, "test" the others."""
        subjects = sorted(self.of_subject)
        random.Random(f"{seed} parts").shuffle(subjects)
        cut = round(DEV_SHARE * len(subjects))
        return {"dev": frozenset(subjects[:cut]), "test": frozenset(subjects[cut:])}

    def fill(self, template: str, entity: str) -> str:
        """A template about an item."""
        return fill(template, self.labels[entity])

    def wordings_of(self, subject: str, relation: str) -> tuple[str, ...]:
        """The wordings in which a fact is asked, of those that only scoring uses."""
        return self.text.held_out((relation,))

    def statement_of(self, subject: str, relation: str) -> str | None:
        """The statement in which a fact of a chain is asked; None where any will do."""
        return None

    def statements(self, path: Sequence[str], *, phrase: int = 0) -> tuple[str, ...]:
        """The statements among the wordings that only scoring uses (`Verbalizer.held_out`)."""
        return self.text.prompts(path, phrase=phrase)[1:]

    def questions(self, path: Sequence[str], *, phrase: int = 0) -> tuple[str, ...]:
        """The questions among the wordings that only scoring uses."""
        return self.text.questions(path, phrase=phrase)[1:]
