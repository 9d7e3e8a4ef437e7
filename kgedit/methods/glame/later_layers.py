"""Writing to later layers, at the last token of multi-hop prompts that pass through the edited fact.

"The capital of the country of citizenship of X" never names the country, so what is written at its tokens does not
reach it: the model finds the country inside, and reads the capital off later layers at the prompt's last token
(IFMET, Zhang et al., ICML 2025, arXiv 2410.06331). The graph knows of some X; prompts about them say where the later
layers are to be written, and what is written there serves for other X too. docs/methods.md, "Writing to later layers".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.graph import named
from kgedit.delta import WeightUpdate
from kgedit.graph.incoming_walks import in_turn
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.methods.base import Request, Workbench
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, multihop_rows
from kgedit.methods.engine.value import optimise
from kgedit.methods.engine.write_layers import write_layers
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.consequences import LONGEST_WALK, Changes, Onward, Walk, onward_walks, recalled
from kgedit.methods.glame.offset import GraphOffset

_ENDINGS = 5  # walks onward from an edit that prompts from elsewhere may go on with


class MultihopPrompt(NamedTuple):
    """A prompt that leads over an edited fact, and its answer once the edits are made."""

    start: str  # label of the item that the prompt names
    prompt: str  # template
    answer: str


class Reaching(NamedTuple):
    """The prompts that lead over one edit, and such as look like them."""

    ends: Sequence[Sequence[MultihopPrompt]] = ()  # those that end alike together
    apart: Sequence[MultihopPrompt] = ()  # of siblings of its subject, in the same wordings; their answers stay


def reaching_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    request: Request,
    subgraph: Subgraph | None,
    onward: Onward,
    changes: Changes,
    text: Verbalizer,
    *,
    most: int,
    siblings: int = 0,
) -> Reaching:
    """Prompts that lead to the subject over facts that the unedited model recalls, over the edit, and further on.

    What nothing leads to is left out.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        request: The edit.
        subgraph: The graph around it, with the walks that lead to its subject.
        onward: See `consequences.onward_facts`.
        changes: See `consequences.made`.
        text: Wordings.
        most: Walks taken for each end, each put in two wordings; different relations in turn.
        siblings: Items of the subject's kind that are asked the same, of those that the subgraph has.
    """
    if subgraph is None or request.relation is None or request.relation not in text:
        return Reaching()
    starts = _starts(model, tokenizer, request.relation, subgraph, changes, text)
    begun = Walk((request.relation,), (request.subject, request.target))
    groups, endings = [], []
    # An ending is the edit itself, or the edit and a walk onward from its new object.
    for ending in (begun, *onward_walks(request, onward, changes, text)[:_ENDINGS]):
        paths = [path for path in starts if len(path) + len(ending.relations) <= LONGEST_WALK]
        # Different relations take turns, so that none fills the prompts alone.
        walks = in_turn(
            [(start, (*path, *ending.relations)) for start in starts[path] if start not in ending.labels]
            for path in paths
            if text.composable((*path, *ending.relations))
        )[:most]
        if walks:
            groups.append(
                [
                    MultihopPrompt(start, prompt, ending.labels[-1])
                    for start, path in walks
                    for prompt in text.edit_wordings(path)
                ]
            )
            endings.append(ending.relations)
    return Reaching(groups, _of_siblings(subgraph, siblings, endings, changes, text))


def _of_siblings(
    subgraph: Subgraph, most: int, endings: Sequence[tuple[str, ...]], changes: Changes, text: Verbalizer
) -> list[MultihopPrompt]:
    """The endings asked of siblings of the subject, and of what leads to these."""
    labels, edited = subgraph.labels, {label for label, _ in changes}
    leading = {labels[walk[0].subject] for walk in subgraph.incoming_walks}
    asked: dict[MultihopPrompt, None] = {}
    for shared, *into in subgraph.siblings[:most]:
        if labels[shared.subject] in edited:
            continue
        for item, way in [(shared.subject, ()), *((fact.subject, (fact.relation,)) for fact in into)]:
            if labels[item] in leading or not named(labels, item):
                continue
            paths = [(*way, *ending) for ending in endings if len(way) + len(ending) <= LONGEST_WALK]
            for path in paths:
                if len(path) == 1 or text.composable(path):
                    # Only the place behind the prompt is read, whatever the answer.
                    asked |= {MultihopPrompt(labels[item], prompt, "?"): None for prompt in text.edit_wordings(path)}
    return list(asked)


def _starts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    relation: str,
    subgraph: Subgraph,
    changes: Changes,
    text: Verbalizer,
) -> dict[tuple[str, ...], list[str]]:
    """Relations that lead to the subject -> labels of the items that they lead from, where the model knows the way."""
    labels = subgraph.labels
    facts_of = {}  # walk -> its facts, by label
    for walk in subgraph.incoming_walks:
        path = tuple(triple.relation for triple in walk)
        if text.composable((*path, relation)) and all(text[step].single for step in path):
            facts_of[walk] = [(labels[t.subject], t.relation, labels[t.object]) for t in walk]
    # The model is asked once for each fact; a walk counts if it recalls all of them.
    facts = list(dict.fromkeys(fact for own in facts_of.values() for fact in own if fact[:2] not in changes))
    known = {fact for fact, right in zip(facts, recalled(model, tokenizer, facts, text), strict=True) if right}
    starts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for walk, own in facts_of.items():
        if known.issuperset(own):
            starts[tuple(triple.relation for triple in walk)].append(labels[walk[0].subject])
    return starts


def write_later_layers(
    bench: Workbench,
    config: GlameConfig,
    objectives: Sequence[Objective],
    reaching: Sequence[Reaching],
) -> tuple[tuple[WeightUpdate, ...], list[int]]:
    """The updates of one case on the later layers, for the model as it is: with the case's edits already applied.

    Each end has an offset of its own, and all are written at once.

    Args:
        bench: Model, tokenizer and second moments.
        config: Hyper-parameters.
        objectives: What the edits were optimised for.
        reaching: Of each edit the prompts that lead over it, see `reaching_prompts`.

    Returns:
        One update per later layer, with a column for each end, and the number of the edit that each end belongs to.
        No update if nothing leads to any subject.
    """
    anatomy, limit = anatomy_of(bench.model), context_length(bench.model)
    # What is right already stays: the subjects' other facts, the edit prompts, and what is asked of siblings.
    kept_rows = [row for objective in objectives for row in objective.rows if row.kind == "keep"]
    ends: list[Objective] = []
    owners: list[int] = []
    for number, (objective, prompts_of) in enumerate(zip(objectives, reaching, strict=True)):
        for group in prompts_of.ends:
            prompts = [prompt._replace(answer=prompt.answer + config.ending) for prompt in group]
            if rows := multihop_rows(bench.tokenizer, prompts, 1.0, max_length=limit):
                ends.append(Objective(tuple(rows)))
                owners.append(number)
        kept_rows.append(objective.rows[0])
        kept_rows += multihop_rows(bench.tokenizer, prompts_of.apart, 1.0, max_length=limit)
    if not ends:
        return (), []
    with frozen(bench.model):
        # One free offset per end and later layer, optimised at the last token of its prompts.
        batch = EditBatch(bench.model, anatomy, ends, config.later_layers)
        offsets = []
        for number in range(len(ends)):
            values = [batch.of_edit(number, layer)[1].mean(dim=0) for layer in config.later_layers]
            offsets.append(GraphOffset(config, torch.stack(values)))
        solutions = optimise(batch, offsets, steps=config.steps, stop_loss=config.stop_loss, keep="best")
        # One solve for all ends; what stays takes part as one more edit whose offset is zero.
        edits = [(objective, solution.offset) for objective, solution in zip(ends, solutions, strict=True)]
        if kept_rows:
            kept = Objective(tuple(replace(row, place=row.scored[0]) for row in kept_rows))
            edits.append((kept, torch.zeros_like(edits[0][1])))
        (updates,) = write_layers(
            bench.model, anatomy, [edits], config.later_layers, bench.moments, key="contexts", ridge=config.later_ridge
        )
    # The column of what stays is zero: it only took part in the solve.
    own = tuple(
        replace(update, left=update.left[:, : len(ends)], right=update.right[:, : len(ends)]) for update in updates
    )
    return own, owners
