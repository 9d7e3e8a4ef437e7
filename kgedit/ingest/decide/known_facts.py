"""Known facts: facts that the unedited model recalls, in three parts that never mix.

A hash of subject and relation puts every fact into one part: protected (or rehearsed) while deltas are computed,
watched by the guards, or measured at the end of a run. So a method cannot pass a guard by having been trained for it,
and no guard sees the facts of the final measure.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.graph import KnowledgeGraph, Triple, named
from kg_cache.store import Store
from kgedit.errors import EditError
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.mini import MINI, mini_folder
from kgedit.mini.corpus import load_facts
from kgedit.text.template import fill

Part = Literal["protected", "watched", "measured"]

_PARTS: tuple[Part, ...] = ("protected",) * 4 + ("watched",) + ("measured",) * 3


class KnownFact(NamedTuple):
    """A triple with the labels of its ends."""

    subject: str
    relation: str
    object: str
    subject_label: str
    object_label: str


@dataclass(frozen=True)
class FactPool:
    """Candidate facts in a fixed order, and the wordings to ask them in.

    Attributes:
        facts: Candidates; whether the model recalls one is asked when it is drawn.
        text: The wordings.
    """

    facts: tuple[KnownFact, ...]
    text: Verbalizer

    @classmethod
    def of(cls, model: str, graph: KnowledgeGraph, text: Verbalizer) -> FactPool:
        """Facts of single-valued relations: those the bundled model was trained on, or all of a local graph."""
        triples: Iterable[Triple]
        if model == MINI:
            triples = [Triple(fact.subject, fact.relation, fact.object) for fact in load_facts(mini_folder())]
        elif isinstance(graph, Store):
            triples = (t for t in graph.triples() if t.relation in text and text[t.relation].single)
        else:
            triples = ()
        candidates = list(triples)
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
        )

    def question(self, fact: KnownFact, wording: int = 0) -> tuple[str, str]:
        """Prompt and answer in one of the wordings of `questions`."""
        questions = self.questions(fact)
        return questions[wording % len(questions)]

    def questions(self, fact: KnownFact) -> tuple[tuple[str, str], ...]:
        """Prompt and answer in every wording: the editing prompt first, then other statements, then questions."""
        wordings = (*self.text.prompts((fact.relation,)), *self.text.questions((fact.relation,)))
        return tuple((fill(wording, fact.subject_label), fact.object_label) for wording in wordings)

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

        Args:
            model: The model, unedited.
            tokenizer: Its tokenizer.
            count: How many; fewer come back when there are no more.
            seed: Same seed, same facts.
            part: Which part.
            without: Items whose facts are left out, as subject or object.
        """
        left_out = set(without)
        facts = [fact for fact in self.facts if part_of(fact.subject, fact.relation) == part]
        # Shuffled before any is left out, so that the order of the others does not depend on it.
        random.Random(seed).shuffle(facts)
        facts = [fact for fact in facts if not left_out & {fact.subject, fact.object}]
        recalled: list[KnownFact] = []
        for start in range(0, len(facts), 256):
            asked = facts[start : start + min(256, 2 * (count - len(recalled)))]
            recalled += [fact for fact, right in zip(asked, self.ask(model, tokenizer, asked), strict=True) if right]
            if len(recalled) >= count:
                break
        return recalled[:count]

    def ask(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[KnownFact], wording: int = 0
    ) -> list[bool]:
        """Whether the model answers each fact exactly."""
        questions = [self.question(fact, wording) for fact in facts]
        return ask_all(model, tokenizer, questions)


def part_of(subject: str, relation: str) -> Part:
    """Which part a fact belongs to."""
    return _PARTS[hashlib.sha256(f"{subject} {relation}".encode()).digest()[0] % len(_PARTS)]


def ask_all(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[tuple[str, str]]
) -> list[bool]:
    """`exact_answers`, where a question that cannot be put (too long, no token) counts as not answered."""
    try:
        return exact_answers(model, tokenizer, questions) if questions else []
    except EditError:
        if len(questions) == 1:
            return [False]
        middle = len(questions) // 2
        return ask_all(model, tokenizer, questions[:middle]) + ask_all(model, tokenizer, questions[middle:])
