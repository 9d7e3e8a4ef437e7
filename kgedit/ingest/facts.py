"""Facts that the unedited model recalls: what guards watch, what training rehearses, what results are measured on.

One hash of subject and relation puts every fact into one of two halves for good. Guards, held keys and rehearsal use
the watched half only; the share of unrelated facts still recalled at the end of a run is measured on the other. So a
run cannot pass its final measure by having looked at it.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.graph import KnowledgeGraph, Triple
from kg_cache.store import Store
from kgedit.errors import EditError
from kgedit.lm.answers import exact_answers
from kgedit.mini import MINI, mini_folder
from kgedit.mini.corpus import load_facts
from kgedit.verbalize import Verbalizer


class Fact(NamedTuple):
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

    facts: tuple[Fact, ...]
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
        found = list(triples)
        objects = Counter((triple.subject, triple.relation) for triple in found)
        labels = graph.labels(sorted({end for triple in found for end in (triple.subject, triple.object)}))
        return cls(
            tuple(
                Fact(*triple, labels[triple.subject], labels[triple.object])
                for triple in found
                if objects[triple.subject, triple.relation] == 1 and {triple.subject, triple.object} <= labels.keys()
            ),
            text,
        )

    def question(self, fact: Fact, wording: int = 0) -> tuple[str, str]:
        """Prompt and answer; wording 0 is the editing prompt, then the other statements, then the questions."""
        wordings = (*self.text.prompts((fact.relation,)), *self.text.questions((fact.relation,)))
        return wordings[wording % len(wordings)].replace("{}", fact.subject_label), fact.object_label

    def recalled(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        count: int,
        *,
        seed: int,
        watched: bool,
        without: Iterable[str] = (),
    ) -> list[Fact]:
        """Draw facts of one half that the model recalls now.

        Args:
            model: The model, unedited.
            tokenizer: Its tokenizer.
            count: How many; fewer come back when there are no more.
            seed: Same seed, same facts.
            watched: Which half.
            without: Items that take no part, as subject or object.
        """
        left_out = set(without)
        half = [fact for fact in self.facts if is_watched(fact.subject, fact.relation) == watched]
        random.Random(seed).shuffle(half)
        half = [fact for fact in half if not left_out & {fact.subject, fact.object}]
        found: list[Fact] = []
        for start in range(0, len(half), 256):
            part = half[start : start + min(256, 2 * (count - len(found)))]
            found += [fact for fact, right in zip(part, self.ask(model, tokenizer, part), strict=True) if right]
            if len(found) >= count:
                break
        return found[:count]

    def ask(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Fact], wording: int = 0
    ) -> list[bool]:
        """Whether the model answers each fact exactly."""
        questions = [self.question(fact, wording) for fact in facts]
        return ask_all(model, tokenizer, questions)


def is_watched(subject: str, relation: str) -> bool:
    """Which half a fact belongs to: guards may look at watched ones, the final measure uses the others."""
    return hashlib.sha256(f"{subject} {relation}".encode()).digest()[0] % 2 == 0


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
