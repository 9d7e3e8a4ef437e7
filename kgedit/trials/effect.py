"""The effect of one edit: what a model answers before and after it, about the fact and about all around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from kg_cache.graph import named
from kg_cache.store import Store
from kgedit.delta import Delta
from kgedit.edit import Edit, EditResult
from kgedit.editor import Editor
from kgedit.graph.other_names import other_names
from kgedit.graph.subgraph import Subgraph
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.report.answers import Question, answers, followed, verdicts
from kgedit.ingest.report.report import ReportedAnswer
from kgedit.methods.glame.consequences import recalled
from kgedit.resolve import Resolved
from kgedit.text.names import begins
from kgedit.text.template import fill

Names = tuple[str, ...]
Kind = Literal["fact", "wordings", "consequences", "neighbours", "subject"]

NEIGHBOURS = 5
_LOOKED_THROUGH = 30  # other subjects with the old object, until enough are recalled


@dataclass(frozen=True)
class AskedTwice:
    """One question, before an edit and after it.

    Attributes:
        kind: The fact itself, the same in other words, what follows from it over the graph, the same relation of
            other subjects, or the subject's other facts.
        question: The prompt; none but the first was seen by a method.
        right: Names of the right answer once the edit is made, the one that is scored first.
        before: The answer of the model without the edit; None where it cannot be asked.
        after: The answer with it.
    """

    kind: Kind
    question: str
    right: tuple[str, ...]
    before: ReportedAnswer | None
    after: ReportedAnswer | None

    @property
    def right_before(self) -> bool:
        """Whether the answer without the edit begins with a right one."""
        return self.before is not None and begins(self.before.text, self.right)

    @property
    def right_after(self) -> bool:
        """Whether the answer with the edit begins with a right one."""
        return self.after is not None and begins(self.after.text, self.right)


@dataclass(frozen=True)
class Effect:
    """What one edit does.

    Attributes:
        result: The result of the edit.
        delta: Its change of the weights, which `Editor.trial` puts on.
        asked: The questions, those about the fact first.
        facts: The subgraph around it as labels, the new fact first; empty without a subgraph.
        answered: Of each of these facts whether the edited model answers it right; None where it was not asked.
        questions: Of each of these facts the question that was asked about it; None where none was.
        old: Label of the object that the graph has so far; empty where it has none.
    """

    result: EditResult
    delta: Delta
    asked: tuple[AskedTwice, ...]
    facts: tuple[tuple[str, str, str], ...]
    answered: tuple[bool | None, ...]
    questions: tuple[AskedTwice | None, ...]
    old: str


def effect_of(editor: Editor, edit: Edit) -> Effect:
    """Make an edit, ask what it changed, and take it back; the weights are afterwards bit for bit as before.

    Args:
        editor: Its method computes the edit, on top of what is applied.
        edit: The edit.

    Raises:
        EditError, KnowledgeGraphError: The edit cannot be carried out.
    """
    resolver = editor.resolver
    with editor.turn():
        resolved = resolver.resolve(edit)
        subgraph = resolver.subgraph(resolved, editor.subgraph_options)
        # 1. What is asked; of what must stay, only what the model recalls before the edit.
        follows = _consequences(editor, resolved, subgraph)
        old, near = _neighbours(editor, resolved)
        others = _subject(editor, resolved, subgraph)
        fact = resolved.request.question, resolved.request.target
        asked: list[tuple[Kind, Question, Names]] = [("fact", fact, ())]
        asked += [("wordings", pair, ()) for pair in _wordings(editor, resolved)]
        asked += [("consequences", pair, ()) for pair in follows.values()]
        asked += [("neighbours", *one) for one in near] + [("subject", *one) for one in others]
        questions = [pair for _, pair, _ in asked]
        before = answers(editor, questions)
        # 2. The edit, and the same questions again.
        with editor.preview(edit):
            delta = editor.deltas[-1]
            result = cast("EditResult", editor.history[delta.id])  # `apply` has just noted it
            after = answers(editor, questions)
    twice = tuple(
        AskedTwice(kind, question, (right, *(result.aliases if kind in ("fact", "wordings") else names)), *said)
        for (kind, (question, right), names), *said in zip(asked, before, after, strict=True)
    )
    if subgraph is None:
        return Effect(result, delta, twice, (), (), (), old)
    # 3. What was asked about the new fact and about what follows, each at its place in the subgraph.
    asked_at = {
        0: twice[0],
        **dict(zip(follows, (each for each in twice if each.kind == "consequences"), strict=True)),
    }
    found = {place: each.right_after for place, each in asked_at.items()}
    label = subgraph.labels
    facts = tuple((label[s], label[r], label[o]) for s, r, o in subgraph.triples)
    questions_at = tuple(asked_at.get(place) for place in range(len(facts)))
    return Effect(result, delta, twice, facts, verdicts(found, subgraph), questions_at, old)


def _wordings(editor: Editor, resolved: Resolved) -> list[Question]:
    """The fact in two wordings that no method optimises."""
    request = resolved.request
    if request.relation is None or request.relation not in editor.text:
        return []
    return [
        (fill(wording, request.subject), request.target) for wording in editor.text.held_out((request.relation,))[:2]
    ]


def _consequences(editor: Editor, resolved: Resolved, subgraph: Subgraph | None) -> dict[int, Question]:
    """Place of a fact in the subgraph -> a question that reaches it through the new fact, in a held-out wording.

    Only facts that the model recalls about the new object: a graph has outdated and alternative objects, too.
    """
    request, text = resolved.request, editor.text
    if subgraph is None or request.relation is None:
        return {}
    places = list(followed(request, subgraph, text))
    facts = [subgraph.triples[place] for place in places]
    labels = [(subgraph.labels[s], relation, subgraph.labels[o]) for s, relation, o in facts]
    known = recalled(editor.model, editor.tokenizer, labels, text)
    return {
        place: (fill(text.held_out((request.relation, relation))[0], request.subject), label)
        for place, (_, relation, label), right in zip(places, labels, known, strict=True)
        if right
    }


def _neighbours(editor: Editor, resolved: Resolved) -> tuple[str, list[tuple[Question, Names]]]:
    """The old object's label, and recalled facts of other subjects that have it by the same relation."""
    graph, text, relation, subject = editor.graph, editor.text, resolved.relation, resolved.subject_id
    if relation is None or subject is None or relation not in text:
        return "", []
    old = [fact.object for fact in graph.neighbours([subject]).triples if fact.relation == relation][:1]
    # A live graph would be asked for every subject that has the object.
    near = graph.subjects(relation, old[0], limit=_LOOKED_THROUGH) if old and isinstance(graph, Store) else []
    labels = graph.labels([*old, *near])
    wording = text.held_out((relation,))[0]
    asked = [
        (fill(wording, labels[other]), labels[old[0]]) for other in near if other != subject and named(labels, other)
    ]
    names = other_names(editor.graph, old[0] if old else None)
    return (labels[old[0]] if old else ""), [(pair, names) for pair in _recalled(editor, asked)[:NEIGHBOURS]]


def _subject(editor: Editor, resolved: Resolved, subgraph: Subgraph | None) -> list[tuple[Question, Names]]:
    """The subject's other facts that the model recalls, one of each relation, in a held-out wording."""
    if subgraph is None:
        return []
    objects: dict[str, tuple[str, str]] = {}
    for fact, label in subgraph.other_facts():
        if fact.relation in editor.text and fact.relation != resolved.relation:
            objects.setdefault(fact.relation, (label, fact.object))
    asked = {
        (fill(editor.text.held_out((relation,))[0], resolved.request.subject), label): item
        for relation, (label, item) in objects.items()
    }
    return [(pair, other_names(editor.graph, asked[pair])) for pair in _recalled(editor, list(asked))]


def _recalled(editor: Editor, asked: Sequence[Question]) -> list[Question]:
    right = ask_all(editor.model, editor.tokenizer, asked)
    return [pair for pair, known in zip(asked, right, strict=True) if known]
