"""GLAME's second write: at the last token of prompts that reach the edited fact on their way.

"The capital of the country of citizenship of X" never names the country, so what is written at its tokens does not
reach it: the model finds the country inside, and reads the capital off later layers at the prompt's last token
(IFMET, Zhang et al., ICML 2025, arXiv 2410.06331). The graph knows of some X; prompts about them say where the later
layers are to be written, and what is written there serves for other X too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.approaches import in_turn
from kgedit.delta import WeightUpdate
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.methods.associations import LONGEST_WALK, Changes, Onward, Walk, onward_walks, recalled
from kgedit.methods.base import Request, Workbench
from kgedit.methods.batch import EditBatch
from kgedit.methods.graph_offset import GraphOffset
from kgedit.methods.layers import write_layers
from kgedit.methods.objective import Objective, arrival_rows
from kgedit.methods.value import optimise
from kgedit.subgraph import Subgraph
from kgedit.verbalize import Verbalizer

if TYPE_CHECKING:
    from kgedit.methods.glame import GlameConfig

_ENDINGS = 8  # walks onward from an edit that prompts from elsewhere go on with


class Arrival(NamedTuple):
    """A prompt that leads over an edited fact, and its answer once the edits are made."""

    start: str  # label of the item that the prompt names
    prompt: str  # template
    answer: str


def arrivals(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    request: Request,
    subgraph: Subgraph | None,
    onward: Onward,
    changes: Changes,
    text: Verbalizer,
    *,
    most: int,
) -> list[Arrival]:
    """Prompts that lead to the subject over facts that the unedited model recalls, over the edit, and further on.

    The edit's own prompts come with them; without any that leads there, there is nothing to write.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        request: The edit.
        subgraph: The graph around it, with the approaches to its subject.
        onward: See `associations.onward_facts`.
        changes: See `associations.made`.
        text: Wordings.
        most: Walks taken, each put in two wordings; shorter ones first, different relations in turn.
    """
    if subgraph is None or request.relation is None or request.relation not in text:
        return []
    starts = _starts(model, tokenizer, request.relation, subgraph, changes, text)
    begun = Walk((request.relation,), (request.subject, request.target))
    endings = [begun, *onward_walks(request, onward, changes, text)[:_ENDINGS]]
    ways = [
        (path, ending)
        for path in starts
        for ending in endings
        if len(path) + len(ending.relations) <= LONGEST_WALK and text.composable((*path, *ending.relations))
    ]
    ways.sort(key=lambda way: len(way[0]) + len(way[1].relations))
    walks = in_turn(
        [
            (start, (*path, *ending.relations), ending.labels[-1])
            for start in starts[path]
            if start not in ending.labels
        ]
        for path, ending in ways
    )[:most]
    own = [(request.subject, begun.relations, request.target)] if walks else []
    return [Arrival(start, prompt, end) for start, path, end in (*walks, *own) for prompt in text.edit_wordings(path)]


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
    walks = {}
    for walk in subgraph.approaches:
        path = tuple(triple.relation for triple in walk)
        if text.composable((*path, relation)) and all(text[step].single for step in path):
            walks[walk] = [(labels[t.subject], t.relation, labels[t.object]) for t in walk]
    facts = list(dict.fromkeys(fact for facts in walks.values() for fact in facts if fact[:2] not in changes))
    known = {fact for fact, right in zip(facts, recalled(model, tokenizer, facts, text), strict=True) if right}
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for walk, its in walks.items():
        if known.issuperset(its):
            found[tuple(triple.relation for triple in walk)].append(labels[walk[0].subject])
    return found


def write_deep(
    bench: Workbench, config: GlameConfig, objectives: Sequence[Objective], asked: Sequence[Sequence[Arrival]]
) -> tuple[WeightUpdate, ...]:
    """The updates of one case on the later layers, for the model as it is: with the case's first write in force.

    Args:
        bench: Model, tokenizer and second moments.
        config: Hyper-parameters.
        objectives: What the edits' first write was optimised for; its other answers are held.
        asked: Arrivals of each edit.

    Returns:
        One update per deep layer with a column for each edit, zeros for an edit without arrivals; none if no edit has.
    """
    anatomy, limit = anatomy_of(bench.model), context_length(bench.model)
    rows = [
        arrival_rows(
            bench.tokenizer, [one._replace(answer=one.answer + config.ending) for one in its], 1.0, max_length=limit
        )
        for its in asked
    ]
    going = [edit for edit, its in enumerate(rows) if its]
    if not going:
        return ()
    with frozen(bench.model):
        batch = EditBatch(bench.model, anatomy, [Objective(tuple(rows[edit])) for edit in going], config.deep_layers)
        free = config.model_copy(update={"free_offset": True})
        offsets = []
        for number in range(len(going)):
            values = [batch.of_edit(number, layer)[1].mean(dim=0) for layer in config.deep_layers]
            offsets.append(GraphOffset(free, torch.stack(values), None, None))
        found = optimise(batch, offsets, steps=config.steps, stop_loss=config.stop_loss, keep="best")
        case = [(objective, solution.offset) for objective, solution in zip(batch.objectives, found, strict=True)]
        held = [replace(row, place=row.scored[0]) for one in objectives for row in one.rows if row.kind == "keep"]
        if held:
            case.append((Objective(tuple(held)), torch.zeros_like(case[0][1])))
        (updates,) = write_layers(
            bench.model, anatomy, [case], config.deep_layers, bench.moments, key="contexts", ridge=config.ridge
        )
    return tuple(_columns(update, going, len(asked)) for update in updates)


def _columns(update: WeightUpdate, going: Sequence[int], edits: int) -> WeightUpdate:
    """Its columns where they belong; that of what was held does nothing and is left out."""
    left = update.left.new_zeros(len(update.left), edits)
    right = update.right.new_zeros(len(update.right), edits)
    left[:, list(going)], right[:, list(going)] = update.left[:, : len(going)], update.right[:, : len(going)]
    return replace(update, left=left, right=right)
