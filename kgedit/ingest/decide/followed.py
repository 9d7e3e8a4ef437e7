"""What follows from many changes at once: over the graph, and over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.methods.curriculum import Question
from kgedit.methods.glame.consequences import Changes, Onward, longer_walks, made, onward_facts
from kgedit.text.template import fill


def followed(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Sequence[ResolvedChange], text: Verbalizer
) -> Mapping[int, tuple[Question, ...]]:
    """Number of each change -> questions whose answers follow from it once all of them are made.

    Args:
        model: The unedited model, which is asked for the facts behind the new objects.
        tokenizer: Its tokenizer.
        items: The changes.
        text: Wordings.
    """
    case = [(item.request, item.subgraph) for item in items]
    changes, onward = made(case), onward_facts(model, tokenizer, case, text)
    return {item.entry.id: tuple(_of(item, changes, onward, text)) for item in items}


def _of(item: ResolvedChange, changes: Changes, onward: Onward, text: Verbalizer) -> list[Question]:
    request, relation = item.request, item.request.relation
    if relation is None or relation not in text:
        return []
    # 1. Paths of two hops, behind the new object.
    behind = [(then, obj) for then, obj in onward.get(request.target, ()) if text.composable((relation, then))]
    asked = [
        (template, obj)
        for then, obj in behind
        if obj != request.subject
        for template in text.edit_wordings((relation, then))
    ]
    # 2. Longer ones where they lead over other changes: what the model composes by itself stops there.
    subjects = {label for label, _ in changes}
    if subjects & {request.target, *(obj for _, obj in behind)}:
        asked += longer_walks(request, onward, changes, text)
    return [(fill(template, request.subject), answer) for template, answer in asked]
