"""What the graph says must follow from an edit, and what must stay, as prompts about the subject."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError, TargetError
from kgedit.lm.anatomy import context_length
from kgedit.lm.score import greedy_match
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.methods.base import Case
from kgedit.subgraph import Subgraph
from kgedit.verbalize import Verbalizer

Associations = list[tuple[str, str]]
Changes = Mapping[tuple[str, str], str]


def made(case: Case) -> Changes:
    """What the edits of a case make true: (subject as written, relation) -> new object."""
    return {(request.subject, request.relation): request.target for request, _ in case if request.relation}


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
    labels, limit = subgraph.labels, context_length(model)
    paths, rows, edited = [], [], {}
    for path in subgraph.paths():
        if not text.composable((path.first, path.second)):
            continue
        if new := changes.get((labels[path.middle], path.second)):
            edited[path.first, path.second] = new
            continue
        with suppress(PromptError, TargetError):  # a label that the tokenizer cannot write, or too long a one
            wanted = encode_target(tokenizer, labels[path.object])
            asked = encode_prompt(
                tokenizer, text[path.second].cloze[0], labels[path.middle], max_length=limit - len(wanted) + 1
            )
            rows.append((asked.ids, wanted))
            paths.append(path)
    known = zip(paths, greedy_match(model, rows), strict=True)
    found = [((path.first, path.second), labels[path.object]) for path, recalled in known if recalled]
    return [(template, label) for path, label in [*edited.items(), *found] for template in text.edit_wordings(path)]


def other_facts(subgraph: Subgraph, text: Verbalizer, changes: Changes = MappingProxyType({})) -> Associations:
    """The subject's other facts, one of each relation that has wordings, as (template, object label).

    They are asked for by statement and by question in turns: both of each would cost a quarter of all computation and
    bring little. Facts that another edit of the same case changes are left out (`changes` as in `associated_paths`).
    """
    objects: dict[str, str] = {}
    for triple, label in subgraph.other_facts():
        if triple.relation in text and (subgraph.subject_label, triple.relation) not in changes:
            objects.setdefault(triple.relation, label)
    return [
        (text.edit_wordings((relation,))[number % 2], label)
        for number, (relation, label) in enumerate(objects.items())
    ]
