"""The way from an edit's names to what a method is asked to write: the request, and the subgraph around it.

Every caller comes this way (editor, ingestion, evaluation), so one name has one outcome:

- An item is what the graph knows by an id, label or alias. Beside a prompt, a name that the graph does not know is
  free text; otherwise it is an error.
- An item without a label is refused: the model would learn to say its id.
- A property is what the graph knows by an id or label, or else what relations.toml knows by an id or label: a graph
  imported without labels of its properties is edited by the same names as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kg_cache.errors import AmbiguousLabel, InvalidId, KnowledgeGraphError, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, KnowledgeGraph
from kg_cache.ids import is_entity_id
from kgedit.edit import Edit
from kgedit.errors import NoLabel
from kgedit.graph.subgraph import Subgraph, build_subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.tokens import as_spelled, find_subject
from kgedit.methods.base import Request


@dataclass(frozen=True)
class Resolved:
    """An edit whose names are resolved.

    Attributes:
        edit: The edit as given.
        request: What a method is asked to write: names and prompt as they stand in texts.
        subject_id: The subject's item; None for free text.
        relation: The property's id; None for a prompt alone, or a property that neither graph nor wordings know.
        target_id: The new object's item; None for free text.
    """

    edit: Edit
    request: Request
    subject_id: str | None
    relation: str | None
    target_id: str | None


class Resolver:
    """Resolves the names of edits against a graph and the wordings of relations."""

    def __init__(self, graph: KnowledgeGraph, text: Verbalizer, *, remembered: int = 0) -> None:
        """Take the parts.

        Args:
            graph: Knows items and properties by their names.
            text: Wordings of relations, and their labels where the graph has none.
            remembered: Number of names that are looked up once only; for a feed, which repeats them.
        """
        self._graph, self._text = graph, text
        self._item: Callable[[str], Candidate] = lru_cache(remembered)(graph.resolve)
        self._property: Callable[[str], str] = lru_cache(remembered)(self._find_property)

    def resolve(self, edit: Edit) -> Resolved:
        """What the names of an edit mean; names are written as the graph's labels.

        A subject that its prompt spells out is written as there.

        Raises:
            UnknownEntity, AmbiguousLabel, UnknownRelation: A name means nothing, or several things.
            NoLabel: The graph has no label for the subject or the new object.
            EditError: There are no wordings for the relation, or the prompt does not hold the subject once.
        """
        free = edit.prompt is not None
        subject_id, subject = self._item_or_text(edit.subject, free=free)
        target_id, target = self._item_or_text(edit.target_new, free=free)
        relation = self._property(edit.relation) if edit.relation else None
        if edit.prompt is None:
            prompt = self._text[relation or ""].cloze[0]
        else:
            given = as_spelled(edit.prompt, edit.subject)
            subject = given if given in edit.prompt else as_spelled(edit.prompt, subject)
            prompt = find_subject(edit.prompt, subject)
        _check_named(subject, subject_id)
        _check_named(target, target_id)
        return Resolved(edit, Request(subject, prompt, target, relation), subject_id, relation, target_id)

    def resolve_worded(
        self, edit: Edit, *, subject_id: str | None = None, target_id: str | None = None, look_up: bool = True
    ) -> Resolved:
        """An edit in words of its own, as benchmarks have it: names stay as they are, since their prompts use them.

        The graph is only asked for the ends of the subgraph, and need not know them.

        Args:
            edit: With a prompt, and the relation, if any, as an id.
            subject_id: Item of the subject, where it is known.
            target_id: Item of the new object, likewise.
            look_up: Ask the graph; without, the edit has no subgraph.

        Raises:
            NoLabel: Subject or new object are written as an id.
            EditError: The prompt does not hold the subject once.
            KnowledgeGraphError: The graph cannot answer.
        """
        template = find_subject(edit.prompt or "", edit.subject, template=True)
        spelled = as_spelled(edit.prompt or "", edit.subject)
        for name in (spelled, edit.target_new):
            _check_named(name, None)
        request = Request(spelled, template, edit.target_new, edit.relation)
        subject = relation = target = None
        if look_up and edit.relation:
            relation = self._known_property(edit.relation)
            subject = self._known_item(subject_id or edit.subject)
            target = self._known_item(target_id or edit.target_new)
        return Resolved(edit, request, subject, relation, target)

    def by_id(self, resolved: Resolved) -> Edit:
        """The edit with ids for the names that the graph knows, and a prompt with "{}" for the subject.

        It resolves to the same items and the same property. The old object is told for the reader's sake: a name
        that means nothing stays as it is.
        """
        edit = resolved.edit
        target_true = edit.target_true
        if target_true is not None:
            with suppress(KnowledgeGraphError):
                target_true = self._item(target_true).id
        return Edit(
            subject=resolved.subject_id or edit.subject,
            relation=resolved.relation,
            target_new=resolved.target_id or edit.target_new,
            target_true=target_true,
            prompt=None if edit.prompt is None else resolved.request.prompt,
        )

    def subgraph(self, resolved: Resolved, options: Mapping[str, Any]) -> Subgraph | None:
        """The facts around an edit; None where subject or property is none of the graph's.

        Args:
            resolved: The edit.
            options: Further arguments of `build_subgraph`, e.g. `Method.subgraph_options`.

        Raises:
            KnowledgeGraphError: The graph cannot answer.
        """
        request = resolved.request
        if resolved.subject_id is None or resolved.relation is None:
            return None
        return build_subgraph(
            self._graph,
            resolved.subject_id,
            resolved.relation,
            resolved.target_id or request.target,
            subject_label=request.subject,
            target_label=request.target,
            relation_labels=self._text.labels,
            **options,
        )

    def _find_property(self, text: str) -> str:
        try:
            return self._graph.resolve_relation(text).id
        except UnknownRelation:
            relation = self._text.find(text)
            if relation is None:
                raise
            return relation

    def _item_or_text(self, text: str, *, free: bool) -> tuple[str | None, str]:
        try:
            item = self._item(text)
        except UnknownEntity:
            if free and not is_entity_id(text):
                return None, text
            raise
        return item.id, item.label

    def _known_item(self, text: str) -> str | None:
        try:
            return self._item(text).id
        except (UnknownEntity, AmbiguousLabel, InvalidId):
            return None

    def _known_property(self, text: str) -> str | None:
        try:
            return self._property(text)
        except (UnknownRelation, AmbiguousLabel, InvalidId):
            return None


def _check_named(name: str, item: str | None) -> None:
    """Refuse an id where a text should stand: that of an item without a label, or one written as free text."""
    if not name.strip() or (is_entity_id(name) if item is None else name == item):
        raise NoLabel(
            f"{item or name} has no label in the graph, and the model would learn the id as if it were a name; "
            "import or fetch its label, or name it by a text beside a prompt"
        )
