"""The way from an edit's names to what a method is asked to write: the request, and the subgraph around it.

Every caller comes this way (editor, ingestion, evaluation), so one name has one outcome:

- Without a prompt, subject and new object are items: what the graph knows by an id, label or alias. They are written
  as the graph's labels, and a name that means nothing, or several things, is an error.
- Beside a prompt they are free text and stay as given. An id is the item, written as its label. A label of one item,
  or beside a relation an alias of one, only links the text to the graph, for the facts around it.
- An item without a label is refused: the model would learn to say its id.
- Of several items with one name, one that is far better linked is taken, with a note that says which.
- A property is what the graph knows by an id, label or alias, or else what relations.toml or property_names.toml
  knows by one: a graph imported without names of its properties is edited by the same names as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from kg_cache.errors import AmbiguousLabel, InvalidId, KnowledgeGraphError, UnknownEntity, UnknownRelation
from kg_cache.graph import Candidate, KnowledgeGraph
from kg_cache.ids import as_id, is_entity_id
from kg_cache.nearest import did_you_mean, nearest
from kg_cache.text import show
from kgedit.edit import Edit
from kgedit.errors import NoLabel
from kgedit.graph.subgraph import Subgraph, build_subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.tokens import as_spelled, find_subject
from kgedit.methods.base import Request
from kgedit.text.boundary import marked, stem
from kgedit.text.template import SLOT


@dataclass(frozen=True)
class Resolved:
    """An edit whose names are resolved.

    Attributes:
        edit: The edit as given.
        request: What a method is asked to write: names and prompt as they stand in texts.
        subject_id: The subject's item; None for free text.
        relation: The property's id; None for a prompt alone, or a property that neither graph nor wordings know.
        target_id: The new object's item; None for free text.
        notes: Which item a name was taken for, where several have it, and what was done with free text.
    """

    edit: Edit
    request: Request
    subject_id: str | None
    relation: str | None
    target_id: str | None
    notes: tuple[str, ...] = ()

    @property
    def centre(self) -> tuple[str, str] | None:
        """The subject's item and the property, around which the subgraph lies; None where there is none for either."""
        return None if self.subject_id is None or self.relation is None else (self.subject_id, self.relation)


class _Name(NamedTuple):
    """A name beside a prompt: as it is written, the item it is linked to, what to say about that, and its label."""

    text: str
    item: str | None = None
    note: str = ""
    label: str = ""


class Resolver:
    """Resolves the names of edits against a graph and the wordings of relations."""

    def __init__(self, graph: KnowledgeGraph, text: Verbalizer, *, remembered: int = 0) -> None:
        """Take the parts.

        Args:
            graph: Knows items and properties by their names.
            text: Wordings of relations, and their labels where the graph has none.
            remembered: Number of names and of edits that are looked up once only; for a feed, which repeats them.
        """
        self._graph, self._text, self._remembered = graph, text, remembered
        self.forget()

    def forget(self) -> None:
        """Look every name up anew from now on, as it is right when the graph may have changed."""
        self._item: Callable[[str], Candidate] = lru_cache(self._remembered)(self._graph.resolve)
        self._property: Callable[[str], str] = lru_cache(self._remembered)(self._find_property)
        self._resolved: dict[Edit, Resolved] = {}

    def resolve(self, edit: Edit) -> Resolved:
        """What the names of an edit mean, and how they are written; see the module's docstring.

        Raises:
            UnknownEntity, AmbiguousLabel, UnknownRelation: A name means nothing, or several things.
            NoLabel: The graph has no label for the subject or the new object.
            EditError: There are no wordings for the relation, or the prompt does not hold the subject once.
        """
        return self._resolved.get(edit) or self._remember(self._resolve(edit))

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
        request = _joined(Request(spelled, template, edit.target_new, edit.relation), edit)
        subject = relation = target = None
        if look_up and edit.relation:
            relation = self._known_property(edit.relation)
            subject = self._known_item(subject_id or edit.subject)
            target = self._known_item(target_id or edit.target_new)
        return Resolved(edit, request, subject, relation, target)

    def by_id(self, resolved: Resolved) -> Edit:
        """The edit with ids for the names that are items, and a prompt with "{}" for the subject.

        It resolves to the same request. Free text stays, unless it is the label of one item, letter by letter. The
        old object is told for the reader's sake: a name that means nothing stays as it is.
        """
        edit, request = resolved.edit, resolved.request
        target_true = edit.target_true
        if target_true is not None:
            with suppress(KnowledgeGraphError):
                target_true = self._item(target_true).id
        by_id = Edit(
            subject=self._id_or_text(resolved.subject_id, request.subject, edit),
            relation=resolved.relation,
            target_new=self._id_or_text(resolved.target_id, request.target, edit),
            target_true=target_true,
            prompt=None if edit.prompt is None else request.prompt if edit.boundary is None else stem(request.prompt),
            boundary=edit.boundary,
        )
        # Ids alone leave nothing to look up; free text beside them may be linked to other items than the name was.
        if (by_id.subject, by_id.target_new) == (resolved.subject_id, resolved.target_id):
            self._remember(replace(resolved, edit=by_id))
        return by_id

    def subgraph(self, resolved: Resolved, options: Mapping[str, Any]) -> Subgraph | None:
        """The facts around an edit; None where subject or property is none of the graph's.

        Args:
            resolved: The edit.
            options: Further arguments of `build_subgraph`, e.g. `Method.subgraph_options`.

        Raises:
            KnowledgeGraphError: The graph cannot answer.
        """
        request = resolved.request
        if resolved.centre is None:
            return None
        return build_subgraph(
            self._graph,
            *resolved.centre,
            resolved.target_id or request.target,
            subject_label=request.subject,
            target_label=request.target,
            relation_labels=self._text.labels,
            **options,
        )

    def _resolve(self, edit: Edit) -> Resolved:
        relation = self._property(edit.relation) if edit.relation else None
        if edit.prompt is None:
            item, obj = self._item(edit.subject), self._item(edit.target_new)
            _check_named(item.label, item.id)
            _check_named(obj.label, obj.id)
            request = Request(item.label, self._text[relation or ""].cloze[0], obj.label, relation)
            notes = tuple(dict.fromkeys(name.note for name in (item, obj) if name.note))
            return Resolved(edit, _joined(request, edit), item.id, relation, obj.id, notes)
        subject = self._free(edit.subject, by_alias=relation is not None)
        target = self._free(edit.target_new, by_alias=relation is not None)
        _check_named(subject.text, subject.item)
        _check_named(target.text, target.item)
        # The prompt may spell the subject out by its label where an alias was given.
        spelled = as_spelled(edit.prompt, subject.text)
        if SLOT not in edit.prompt and spelled not in edit.prompt and subject.label:
            spelled = as_spelled(edit.prompt, subject.label)
        request = Request(spelled, find_subject(edit.prompt, spelled), target.text, relation)
        notes = tuple(filter(None, (subject.note, target.note, _note_of_prompt(edit.prompt))))
        return Resolved(edit, _joined(request, edit), subject.item, relation, target.item, notes)

    def _remember(self, resolved: Resolved) -> Resolved:
        """Keep it for the next time; the oldest makes room."""
        if self._remembered:
            self._resolved[resolved.edit] = resolved
            if len(self._resolved) > self._remembered:
                del self._resolved[next(iter(self._resolved))]
        return resolved

    def _find_property(self, text: str) -> str:
        try:
            return self._graph.resolve_relation(text).id
        except UnknownRelation as error:
            relation = self._text.find(as_id(text))
            if relation is not None:
                return relation
            meant = did_you_mean(nearest(text, [*error.similar, *self._text.names()], cutoff=0.5))
            raise UnknownRelation(
                f"there is no relation {show(text)} in {self._graph.name} or relations.toml; "
                f"{meant}`kgedit relations` lists them"
            ) from None

    def _free(self, text: str, *, by_alias: bool) -> _Name:
        """Free text beside a prompt; an id is the item, everything else stays as given."""
        if is_entity_id(as_id(text)):
            item = self._item(text)
            return _Name(item.label, item.id)
        try:
            item = self._item(text)
        except UnknownEntity:
            return _Name(text)
        except AmbiguousLabel as error:
            count = len(error.candidates)
            return _Name(text, note=f"{show(text)} stays as given; {count} items have this name, an id means one")
        stays, named = f"{show(text)} stays as given", f"{item.label} ({item.id})"
        if item.matched != text or (item.kind == "alias" and not by_alias):
            return _Name(text, None, f"{stays}, though {named} is called so; the id means that item", item.label)
        if item.kind == "alias":
            return _Name(text, item.id, f"{stays}; the facts around it are those of {named}", item.label)
        return _Name(text, item.id, item.note)

    def _id_or_text(self, item: str | None, text: str, edit: Edit) -> str:
        """The item's id where the text is written by it again; free text otherwise."""
        if item is None or (edit.prompt is not None and self._item(item).label != text):
            return text
        return item

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


def _joined(request: Request, edit: Edit) -> Request:
    """The request with a mark in its prompt where the edit says how the new object is joined to it."""
    return replace(request, prompt=marked(request.prompt, edit.boundary))


def _check_named(name: str, item: str | None) -> None:
    """Refuse an id where a text should stand: that of an item without a label, or one written as free text."""
    if not name.strip() or (is_entity_id(as_id(name)) if item is None else name == item):
        raise NoLabel(
            f"{item or name} has no label in the graph, and the model would learn the id as if it were a name; "
            "import or fetch its label, or name it by a text beside a prompt"
        )


def _note_of_prompt(prompt: str) -> str:
    """What to say about a prompt that looks as if it were a sentence already; empty for others."""
    if not prompt.rstrip().endswith((".", "!")):
        return ""
    return (
        f"the prompt ends in {prompt.rstrip()[-1]!r}: a prompt is the beginning of a sentence and ends where the new "
        "object begins, so leave that out unless it belongs to a name"
    )
