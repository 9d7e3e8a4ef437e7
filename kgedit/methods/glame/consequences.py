"""Prompts from the graph: what must follow from an edit, and what must stay.

docs/methods.md, "Terms from the graph".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError, TargetError
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import context_length
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.methods.base import Case, Request
from kgedit.text.template import fill

# Prompts that the graph adds to an edit: (template, answer).
Associations = list[tuple[str, str]]
# What the edits of a case make true: (subject as written, relation) -> new object.
Changes = Mapping[tuple[str, str], str]
# What holds once they are made: label -> (relation, label of object).
Onward = Mapping[str, Sequence[tuple[str, str]]]

LONGEST_WALK = 4  # hops, as far as the field's multi-hop questions go
MOST_LONGER_WALKS = 12  # of an edit; each is asked for in two wordings


def made(case: Case) -> Changes:
    """What the edits of a case make true: (subject as written, relation) -> new object."""
    return {(request.subject, request.relation): request.target for request, _ in case if request.relation}


class Walk(NamedTuple):
    """Relations from the subject outwards, and the labels of all that they lead to."""

    relations: tuple[str, ...]
    labels: tuple[str, ...]


def associated_paths(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    subgraph: Subgraph,
    text: Verbalizer,
    changes: Changes = MappingProxyType({}),
) -> Associations:
    """Composed prompts (s, r, o*) then (o*, r_i, o_i), as (template, label of o_i).

    Only facts that the unedited model recalls about o* are used: the graph holds outdated and alternative objects too
    (several capitals over time), and a path that contradicts the model's own (o*, r_i, o_i) would be a second edit.
    Facts that another edit of the same case makes are used as that edit has them.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        subgraph: The graph around the edit.
        text: Wordings.
        changes: See `made`.
    """
    labels = subgraph.labels
    facts, paths, edited = [], [], {}
    for path in subgraph.paths():
        if not text.composable((path.first, path.second)):
            continue
        if new := changes.get((labels[path.middle], path.second)):
            edited[path.first, path.second] = new
            continue
        facts.append((labels[path.middle], path.second, labels[path.object]))
        paths.append((path.first, path.second))
    known = zip(paths, facts, recalled(model, tokenizer, facts, text), strict=True)
    recalled_paths = [(path, fact[2]) for path, fact, right in known if right]
    return [
        (template, label)
        for path, label in [*edited.items(), *recalled_paths]
        for template in text.edit_wordings(path)
    ]


def onward_facts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, case: Case, text: Verbalizer) -> Onward:
    """Label -> (relation, label of object) of what holds once the edits of a case are made, as far as is known.

    The edits first, then what their subgraphs hold and the unedited model recalls.
    """
    onward: dict[str, list[tuple[str, str]]] = defaultdict(list)
    changes = made(case)
    for (label, relation), obj in changes.items():
        onward[label].append((relation, obj))
    around = dict.fromkeys(
        (graph.labels[triple.subject], triple.relation, graph.labels[triple.object])
        for _, graph in case
        if graph is not None
        for triple in (*graph.triples, *graph.subject_facts)
    )
    facts = [fact for fact in around if fact[:2] not in changes and fact[1] in text]
    for (label, relation, obj), right in zip(facts, recalled(model, tokenizer, facts, text), strict=True):
        if right:
            onward[label].append((relation, obj))
    return onward


def longer_walks(request: Request, onward: Onward, changes: Changes, text: Verbalizer) -> Associations:
    """Composed prompts of three and more hops from one edit of a case over others of it, as (template, label).

    What the model composes by itself stops at a fact that another edit changes. So walks over such facts are asked
    for as a whole; at most `MOST_LONGER_WALKS`, those over most changes first.

    Args:
        request: The edit that the walks begin with.
        onward: See `onward_facts`.
        changes: See `made`.
        text: Wordings.
    """
    walks = [walk for walk in onward_walks(request, onward, changes, text) if len(walk.relations) > 2]
    over_others = [walk for walk in walks if _changed(walk, changes)]
    return [
        (template, walk.labels[-1])
        for walk in over_others[:MOST_LONGER_WALKS]
        for template in text.edit_wordings(walk.relations)
    ]


def onward_walks(request: Request, onward: Onward, changes: Changes, text: Verbalizer) -> list[Walk]:
    """Walks of two and more hops that begin with an edit: those over most other changes first, then the shorter ones.

    Arguments as in `longer_walks`.
    """
    if request.relation is None:
        return []
    walks = list(_walks(Walk((request.relation,), (request.subject, request.target)), onward, text))
    return sorted(walks, key=lambda walk: (-_changed(walk, changes), len(walk.relations)))


def _changed(walk: Walk, changes: Changes) -> int:
    """How many facts of a walk, behind its first, are made by edits."""
    return sum(pair in changes for pair in zip(walk.labels[1:-1], walk.relations[1:], strict=True))


def _walks(begun: Walk, onward: Onward, text: Verbalizer) -> Iterator[Walk]:
    """The walks that go on from one, nearest first; none comes back to where it has been."""
    walks = [begun]
    while walks and len(walks[0].relations) < LONGEST_WALK:
        walks = [
            Walk((*walk.relations, relation), (*walk.labels, obj))
            for walk in walks
            for relation, obj in onward.get(walk.labels[-1], ())
            if obj not in walk.labels and text.composable((*walk.relations, relation))
        ]
        yield from walks


def recalled(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[tuple[str, str, str]],
    text: Verbalizer,
) -> list[bool]:
    """Whether the model gives the object of each fact (label, relation, label); False where it cannot be asked."""
    limit = context_length(model)
    rows, can_be_asked = [], [False] * len(facts)
    for number, (subject, relation, obj) in enumerate(facts):
        with suppress(PromptError, TargetError):  # a label that the tokenizer cannot write, or too long a one
            template = text[relation].cloze[0]
            target_ids = encode_target(tokenizer, obj, fill(template, subject))
            room = limit - len(target_ids) + 1
            rows.append((encode_prompt(tokenizer, template, subject, max_length=room).ids, target_ids))
            can_be_asked[number] = True
    scores = iter(score_rows(model, rows))
    return [asked and next(scores).exact for asked in can_be_asked]


def other_facts(subgraph: Subgraph, text: Verbalizer, changes: Changes = MappingProxyType({})) -> Associations:
    """The subject's other facts, one of each relation that has wordings, as (template, object label).

    Asked by statement and by question in turns. Facts that another edit of the same case changes are left out.

    Args:
        subgraph: The graph around the edit.
        text: Wordings.
        changes: See `made`.
    """
    objects: dict[str, str] = {}
    for _, relation, label in _own_facts(subgraph, text, changes):
        objects.setdefault(relation, label)
    return [(text.edit_wordings((relation,))[n % 2], label) for n, (relation, label) in enumerate(objects.items())]


def recalled_facts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    subgraph: Subgraph,
    text: Verbalizer,
    changes: Changes = MappingProxyType({}),
) -> Associations:
    """Those of the subject's other facts that the unedited model recalls, each by statement and by question.

    Only what is recalled can be lost.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        subgraph: The graph around the edit.
        text: Wordings.
        changes: See `made`.
    """
    objects: dict[str, str] = {}
    facts = _own_facts(subgraph, text, changes)
    for (_, relation, label), right in zip(facts, recalled(model, tokenizer, facts, text), strict=True):
        if right:
            objects.setdefault(relation, label)
    return [(wording, label) for relation, label in objects.items() for wording in text.edit_wordings((relation,))]


def _own_facts(subgraph: Subgraph, text: Verbalizer, changes: Changes) -> list[tuple[str, str, str]]:
    """The subject's other facts that can be asked for and that no edit changes, as (label, relation, label)."""
    subject = subgraph.subject_label
    return [
        (subject, triple.relation, label)
        for triple, label in subgraph.other_facts()
        if triple.relation in text and (subject, triple.relation) not in changes
    ]
