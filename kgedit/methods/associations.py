"""What the graph says must follow from an edit, and what must stay, as prompts about the subject."""

from __future__ import annotations

from contextlib import suppress

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError, TargetError
from kgedit.lm.anatomy import context_length
from kgedit.lm.score import greedy_match
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.subgraph import Subgraph
from kgedit.verbalize import Verbalizer

Associations = list[tuple[str, str]]


def associated_paths(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, subgraph: Subgraph, text: Verbalizer
) -> Associations:
    """Composed prompts (s, r, o*) then (o*, r_i, o_i), as (template, label of o_i).

    Only facts that the unedited model recalls about o* are used: the graph holds outdated and alternative objects too
    (several capitals over time), and a path that contradicts the model's own (o*, r_i, o_i) would be a second edit.
    """
    labels, limit = subgraph.labels, context_length(model)
    paths, rows = [], []
    for path in subgraph.paths():
        if not text.composable((path.first, path.second)):
            continue
        with suppress(PromptError, TargetError):  # a label that the tokenizer cannot write, or too long a one
            wanted = encode_target(tokenizer, labels[path.object])
            asked = encode_prompt(
                tokenizer, text[path.second].cloze[0], labels[path.middle], max_length=limit - len(wanted) + 1
            )
            rows.append((asked.ids, wanted))
            paths.append(path)
    known = greedy_match(model, rows)
    return [
        (template, labels[path.object])
        for path, recalled in zip(paths, known, strict=True)
        if recalled
        for template in text.edit_wordings((path.first, path.second))
    ]


def other_facts(subgraph: Subgraph, text: Verbalizer) -> Associations:
    """The subject's other facts, one of each relation that has wordings, as (template, object label)."""
    objects: dict[str, str] = {}
    for triple, label in subgraph.other_facts():
        if triple.relation in text:
            objects.setdefault(triple.relation, label)
    return [(template, label) for relation, label in objects.items() for template in text.edit_wordings((relation,))]
