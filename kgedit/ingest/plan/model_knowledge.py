"""Asks the model what it knows already: the new objects of changes, and facts about their subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.errors import KnowledgeGraphError
from kg_cache.graph import KnowledgeGraph, named
from kgedit.errors import EditError
from kgedit.graph.other_names import other_names
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.generation.greedy import complete
from kgedit.lm.scoring.right_answers import answers_in_sentences, names_given
from kgedit.resolve import Resolved
from kgedit.text.names import begins
from kgedit.text.template import fill

_FACTS = 3  # facts of a subject of which a model that was trained on them must know one
_FACTS_OF_MANY = 12  # the same of any other model, which knows some facts of many subjects
_NAMES = 6  # names of an object that are asked one by one
_LINKS = 100  # triples of a subject among which they are looked for

Question = tuple[str, tuple[str, ...]]
"""A prompt and the names of the right answer."""


class _Fact(NamedTuple):
    """A fact of a subject: label, property, and the names of its object."""

    subject: str
    relation: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Familiarity:
    """What the model knows of a subject.

    Attributes:
        knows: Whether it knows one of the facts asked.
        asked: The facts asked, as prompt and names of the object.
    """

    knows: bool
    asked: tuple[Question, ...]

    @property
    def told(self) -> str:
        """What was asked, in words."""
        prompt, names = self.asked[0]
        return f"{len(self.asked)} asked, first {prompt!r}: {names[0]}"


class ModelKnowledge:
    """Asks about many changes at once, on the model as it is."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, graph: KnowledgeGraph, text: Verbalizer
    ) -> None:
        """Take the model as it is, its tokenizer, the graph that names the subject's other facts, and the wordings."""
        self._model, self._tokenizer, self._graph, self._text = model, tokenizer, graph, text

    def known(self, changes: Sequence[Resolved]) -> list[bool | EditError]:
        """Whether the model gives each new object in every wording that is asked; or why it cannot be asked.

        Asked are the change's own prompt, if it has one, and three wordings of its relation: the two that editing
        uses, and the last statement, which it does not.
        """
        return self._all_right([self._wordings(change) for change in changes], every=True)

    def familiar(self, changes: Sequence[Resolved]) -> list[Familiarity | None]:
        """Whether the model knows one of the facts that the graph has of each subject; None if it has none."""
        facts = [self._facts(change) for change in changes]
        asked = [[(prompt, names[:_NAMES]) for prompt, names in map(self._first, each)] for each in facts]
        knows = [right is True for right in self._all_right(asked, every=False)]
        if not answers_in_sentences(self._model):
            # A wording that a model was never trained on may be continued otherwise, so the others count as well.
            knows = [right or self._says_one(each) for right, each in zip(knows, facts, strict=True)]
        return [
            Familiarity(right, tuple(questions)) if questions else None
            for right, questions in zip(knows, asked, strict=True)
        ]

    def _says_one(self, facts: Sequence[_Fact]) -> bool:
        """Whether an answer to one of the facts, in any wording, begins with a name of its object."""
        questions = [question for fact in facts for question in self._worded(fact)]
        prompts = list(dict.fromkeys(prompt for prompt, _ in questions))
        try:
            answers = dict(zip(prompts, complete(self._model, self._tokenizer, prompts), strict=True))
        except EditError:
            return False
        return any(begins(answers[prompt], names) for prompt, names in questions)

    def _first(self, fact: _Fact) -> Question:
        """A fact in its editing prompt."""
        return self._worded(fact)[0]

    def _worded(self, fact: _Fact) -> list[Question]:
        """A fact in every wording of its relation, the editing prompt first."""
        wordings = (*self._text.prompts((fact.relation,)), *self._text.questions((fact.relation,)))
        return [(fill(wording, fact.subject), fact.names) for wording in wordings]

    def _wordings(self, change: Resolved) -> list[Question]:
        request = change.request
        templates = [] if change.edit.prompt is None else [request.prompt]
        if change.relation is not None and change.relation in self._text:
            path = (change.relation,)
            templates += [*self._text.edit_wordings(path), self._text.prompts(path)[-1]]
        names = self._names(request.target, change.target_id)[:_NAMES]
        return [(fill(template, request.subject), names) for template in dict.fromkeys(templates)]

    def _names(self, label: str, item: str | None) -> tuple[str, ...]:
        """The label and, where the model may answer with another name, the other names of an item."""
        if answers_in_sentences(self._model):
            return (label,)
        return tuple(dict.fromkeys((label, *other_names(self._graph, item))))

    def _facts(self, change: Resolved) -> list[_Fact]:
        if change.subject_id is None:
            return []
        try:
            triples = self._graph.neighbours([change.subject_id], limit=_LINKS).triples
            worded = [triple for triple in triples if triple.relation in self._text]
            # The fact that changes comes first: the answer to it tells most about what the model knows.
            worded.sort(key=lambda fact: (fact.relation != change.relation, not self._text[fact.relation].single))
            worded = worded[: _FACTS if answers_in_sentences(self._model) else _FACTS_OF_MANY]
            labels = self._graph.labels([triple.object for triple in worded])
        except KnowledgeGraphError:
            return []
        return [
            _Fact(change.request.subject, triple.relation, self._names(labels[triple.object], triple.object))
            for triple in worded
            if named(labels, triple.object)
        ]

    def _all_right(self, asked: Sequence[Sequence[Question]], *, every: bool) -> list[bool | EditError]:
        try:
            every_question = [question for questions in asked for question in questions]
            answers = iter(names_given(self._model, self._tokenizer, every_question))
        except EditError:  # one of them does not fit into the model: find out which
            return [self._one(questions, every=every) for questions in asked]
        rights = [[next(answers) is not None for _ in questions] for questions in asked]
        return [bool(right) and (all(right) if every else any(right)) for right in rights]

    def _one(self, questions: Sequence[Question], *, every: bool) -> bool | EditError:
        try:
            right = [name is not None for name in names_given(self._model, self._tokenizer, questions)]
        except EditError as error:
            return error
        return bool(right) and (all(right) if every else any(right))
