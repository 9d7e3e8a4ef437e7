"""Known facts: facts that the unedited model recalls, in three parts that never mix.

A hash of subject and relation puts every fact into one part: protected (or rehearsed) while deltas are computed,
watched by the guards, or measured at the end of a run. So a method cannot pass a guard by having been trained for it,
and no guard sees the facts of the final measure.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.graph import KnowledgeGraph, Triple, named
from kg_cache.store import Store
from kgedit.errors import EditError
from kgedit.graph.other_names import other_names
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.kept_verdicts import KeptVerdicts
from kgedit.ingest.decide.recall_walk import CHUNK, KnownFact, RecallWalk, most_asked
from kgedit.lm.scoring.right_answers import Asked, right_answers
from kgedit.mini import MINI, mini_folder
from kgedit.mini.corpus import load_facts
from kgedit.progress import Progress
from kgedit.text.template import fill

Part = Literal["protected", "watched", "measured"]

# By the hash of a fact modulo eight.
PARTS: tuple[Part, ...] = ("protected",) * 4 + ("watched",) + ("measured",) * 3


@dataclass(frozen=True)
class FactPool:
    """Candidate facts in a fixed order, and the wordings to ask them in.

    A fact is drawn when the model gives its object's label. From then on it is kept as long as the model gives any
    name of that object: one that said "the United States of America" and now says "the United States" lost nothing.

    Attributes:
        facts: Candidates; whether the model recalls one is asked when it is drawn.
        text: The wordings.
        kept: Where the unedited model's verdicts are kept from run to run; None asks anew.
        progress: Called with (what, done, total) while the model is asked.
        graph: Knows the objects' other names; None where they have none.
    """

    facts: tuple[KnownFact, ...]
    text: Verbalizer
    kept: KeptVerdicts | None = None
    progress: Progress | None = None
    graph: KnowledgeGraph | None = None

    @classmethod
    def of(
        cls,
        model: str,
        graph: KnowledgeGraph,
        text: Verbalizer,
        *,
        kept: KeptVerdicts | None = None,
        progress: Progress | None = None,
    ) -> FactPool:
        """Facts of single-valued relations: those the bundled model was trained on, or all of a local graph."""
        # 1. Candidates.
        triples: Iterable[Triple]
        if model == MINI:
            triples = [Triple(fact.subject, fact.relation, fact.object) for fact in load_facts(mini_folder())]
        elif isinstance(graph, Store):
            triples = (t for t in graph.triples() if t.relation in text and text[t.relation].single)
        else:
            triples = ()
        candidates = list(triples)
        # 2. Of these, facts with one object and with names: only they have one right answer.
        objects = Counter((triple.subject, triple.relation) for triple in candidates)
        labels = graph.labels(sorted({end for triple in candidates for end in (triple.subject, triple.object)}))
        return cls(
            tuple(
                KnownFact(*triple, labels[triple.subject], labels[triple.object])
                for triple in candidates
                if objects[triple.subject, triple.relation] == 1
                and named(labels, triple.subject)
                and named(labels, triple.object)
            ),
            text,
            kept,
            progress,
            graph if isinstance(graph, Store) else None,
        )

    def question(self, fact: KnownFact, wording: int = 0) -> tuple[str, str]:
        """Prompt and answer in one of the wordings of `questions`."""
        questions = self.questions(fact)
        return questions[wording % len(questions)]

    def questions(self, fact: KnownFact) -> tuple[tuple[str, str], ...]:
        """Prompt and answer in every wording: the editing prompt first, then other statements, then questions."""
        wordings = (*self.text.prompts((fact.relation,)), *self.text.questions((fact.relation,)))
        return tuple((fill(wording, fact.subject_label), fact.object_label) for wording in wordings)

    def names(self, label: str) -> tuple[str, ...]:
        """A label and, where it is the label of one object alone, the other names of that object."""
        items = self._labelled.get(label, ())
        if self.graph is None or len(items) != 1:
            return (label,)
        (item,) = items
        return tuple(dict.fromkeys((label, *other_names(self.graph, item))))

    def by_any_name(self, fact: KnownFact) -> tuple[str, tuple[str, ...]]:
        """Prompt and all names of the answer, to find out whether a fact that was recalled still is."""
        prompt, answer = self.question(fact)
        return prompt, self.names(answer)

    @cached_property
    def _labelled(self) -> dict[str, set[str]]:
        """Label -> the objects that have it."""
        items: dict[str, set[str]] = {}
        for fact in self.facts:
            items.setdefault(fact.object_label, set()).add(fact.object)
        return items

    def recalled(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        count: int,
        *,
        seed: int,
        part: Part,
        without: Iterable[str] = (),
    ) -> list[KnownFact]:
        """Draw facts of one part that the model recalls now.

        A model that recalls few facts is not asked them all: see `recall_walk`.

        Args:
            model: The model, unedited.
            tokenizer: Its tokenizer.
            count: How many; fewer come back when there are no more, or when too many were asked.
            seed: Same seed, same facts.
            part: Which part.
            without: Items whose facts are left out, as subject or object.
        """
        left_out = set(without)
        facts = [fact for fact in self.facts if part_of(fact.subject, fact.relation) == part]
        walk = RecallWalk(facts, seed, self.kept.verdicts(self._name(part, seed)) if self.kept else [])
        most, known = most_asked(count), len(walk.verdicts)
        recalled: list[KnownFact] = []
        try:
            # Always whole chunks from the first on: what else was asked has no say in a verdict.
            for start in range(0, most, CHUNK):
                chunk = walk.chunk(start)
                if not chunk or len(recalled) >= count:
                    break
                if self.progress and start >= known:
                    self.progress(f"finding facts that the model recalls, to be {part}", start, min(most, len(facts)))
                right = walk.answered(start) or walk.answer(self.ask(model, tokenizer, chunk))
                # Left out only now, so that the order of the others does not depend on it.
                recalled += [
                    fact
                    for fact, answered in zip(chunk, right, strict=True)
                    if answered and not left_out & {fact.subject, fact.object}
                ]
        finally:
            if self.kept and len(walk.verdicts) > known:
                self.kept.keep(self._name(part, seed), walk.verdicts)
        return recalled[:count]

    def _name(self, part: Part, seed: int) -> str:
        """Everything beside the model that the verdicts of a walk depend on."""
        return f"{part} {seed} {self.digest}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all candidates, each with its editing prompt."""
        sha = hashlib.sha256()
        for fact in self.facts:
            prompt, answer = self.question(fact)
            sha.update(f"{fact.subject}\t{fact.relation}\t{prompt}\t{answer}\n".encode())
        return sha.hexdigest()

    def ask(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[KnownFact], wording: int = 0
    ) -> list[bool]:
        """Whether the model answers each fact with its object's label."""
        questions = [self.question(fact, wording) for fact in facts]
        return ask_all(model, tokenizer, questions)

    def ask_again(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[KnownFact]
    ) -> list[bool]:
        """Whether the model still answers each fact right, by any name of its object."""
        return ask_all(model, tokenizer, [self.by_any_name(fact) for fact in facts])


def part_of(subject: str, relation: str) -> Part:
    """Which part a fact belongs to."""
    return PARTS[hashlib.sha256(f"{subject} {relation}".encode()).digest()[0] % len(PARTS)]


class AskedOnce:
    """Asks a model, as it is, each question once: changes of one relation have most of their neighbours in common."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Take the model, which must not change meanwhile."""
        self._model, self._tokenizer = model, tokenizer
        self._right: dict[Asked, bool] = {}

    def __call__(self, questions: Sequence[Asked]) -> list[bool]:
        """See `ask_all`."""
        new = [question for question in dict.fromkeys(questions) if question not in self._right]
        self._right |= zip(new, ask_all(self._model, self._tokenizer, new), strict=True)
        return [self._right[question] for question in questions]


def ask_all(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Asked]) -> list[bool]:
    """`right_answers`, where a question that cannot be put (too long, no token) counts as not answered."""
    try:
        return right_answers(model, tokenizer, questions) if questions else []
    except EditError:
        if len(questions) == 1:
            return [False]
        middle = len(questions) // 2
        return ask_all(model, tokenizer, questions[:middle]) + ask_all(model, tokenizer, questions[middle:])
