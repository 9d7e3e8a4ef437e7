"""From the names of an edit to what they mean in the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from kg_cache.errors import KnowledgeGraphError, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, KnowledgeGraph
from kgedit.edit import Edit
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.tokens import find_subject

_REMEMBERED = 4096  # names; feeds repeat them, and memory must not grow with the feed


@dataclass(frozen=True)
class Resolved:
    """An edit with its names resolved.

    Attributes:
        edit: The edit with ids for the names that the graph knows, and a prompt with "{}" for the subject.
        subject: Label of the subject, or the text itself.
        target: Label of the new object, or the text itself.
        subject_id: The subject's item; None for free text.
        relation: The property; None for a prompt alone.
        target_id: The new object's item; None for free text.
    """

    edit: Edit
    subject: str
    target: str
    subject_id: str | None
    relation: str | None
    target_id: str | None


class Names:
    """Resolves names as `Editor.prepare` does, without collecting a subgraph."""

    def __init__(self, graph: KnowledgeGraph, text: Verbalizer) -> None:
        """Take the graph that knows the names and the wordings of its relations."""
        self._text = text
        self._entity: Callable[[str], Candidate] = lru_cache(_REMEMBERED)(graph.resolve)
        self._relation: Callable[[str], str] = lru_cache(_REMEMBERED)(self._property)
        self._graph = graph
        self._labels = {one.label.casefold(): id for id, one in text.texts.items()}

    def resolve(self, edit: Edit) -> Resolved:
        """What the names of an edit mean.

        Raises:
            KnowledgeGraphError: A name means nothing or several things; free text may stand beside a prompt.
            EditError: There are no wordings for the relation, or the prompt does not hold the subject once.
        """
        free = edit.prompt is not None
        subject_id, subject = self._item(edit.subject, free=free)
        target_id, target = self._item(edit.target_new, free=free)
        relation = self._relation(edit.relation) if edit.relation else None
        prompt = edit.prompt
        if prompt is None:
            _ = self._text[relation or ""]
        else:
            prompt = find_subject(prompt, edit.subject if edit.subject in prompt else subject)
        by_id = Edit(
            subject=subject_id or edit.subject,
            relation=relation,
            target_new=target_id or edit.target_new,
            target_true=self._old(edit.target_true),
            prompt=prompt,
        )
        return Resolved(by_id, subject, target, subject_id, relation, target_id)

    def _property(self, text: str) -> str:
        """The property that the graph knows by this id or label, or the wordings by this label."""
        try:
            return self._graph.resolve_relation(text).id
        except UnknownRelation:
            if (found := self._labels.get(text.strip().casefold())) is None:
                raise
            return found

    def _item(self, text: str, *, free: bool) -> tuple[str | None, str]:
        try:
            found = self._entity(text)
        except UnknownEntity:
            if free:
                return None, text
            raise
        return found.id, found.label

    def _old(self, text: str | None) -> str | None:
        """The old object is told for the reader's sake: a name that means nothing stays as it is."""
        if text is None:
            return None
        try:
            return self._entity(text).id
        except KnowledgeGraphError:
            return text
