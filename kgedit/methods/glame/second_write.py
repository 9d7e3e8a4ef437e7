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

from kgedit.delta import WeightUpdate
from kgedit.graph.incoming_walks import in_turn
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.methods.base import Request, Workbench
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, arrival_rows
from kgedit.methods.engine.value import optimise
from kgedit.methods.engine.write_layers import write_layers
from kgedit.methods.glame.consequences import LONGEST_WALK, Changes, Onward, Walk, onward_walks, recalled
from kgedit.methods.glame.offset import GraphOffset

if TYPE_CHECKING:
    from kgedit.methods.glame.method import GlameConfig

_ENDINGS = 5  # walks onward from an edit that prompts from elsewhere may go on with


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
) -> list[list[Arrival]]:
    """Prompts that lead to the subject over facts that the unedited model recalls, over the edit, and further on.

    Those that end alike stand together; what nothing leads to is left out.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        request: The edit.
        subgraph: The graph around it, with the approaches to its subject.
        onward: See `associations.onward_facts`.
        changes: See `associations.made`.
        text: Wordings.
        most: Walks taken for each end, each put in two wordings; different relations in turn.
    """
    if subgraph is None or request.relation is None or request.relation not in text:
        return []
    starts = _starts(model, tokenizer, request.relation, subgraph, changes, text)
    begun = Walk((request.relation,), (request.subject, request.target))
    found = []
    for ending in (begun, *onward_walks(request, onward, changes, text)[:_ENDINGS]):
        paths = [path for path in starts if len(path) + len(ending.relations) <= LONGEST_WALK]
        walks = in_turn(
            [(start, (*path, *ending.relations)) for start in starts[path] if start not in ending.labels]
            for path in paths
            if text.composable((*path, *ending.relations))
        )[:most]
        if walks:
            found.append(
                [
                    Arrival(start, prompt, ending.labels[-1])
                    for start, path in walks
                    for prompt in text.edit_wordings(path)
                ]
            )
    return found


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
    facts = list(dict.fromkeys(fact for its in walks.values() for fact in its if fact[:2] not in changes))
    known = {fact for fact, right in zip(facts, recalled(model, tokenizer, facts, text), strict=True) if right}
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for walk, its in walks.items():
        if known.issuperset(its):
            found[tuple(triple.relation for triple in walk)].append(labels[walk[0].subject])
    return found


def write_deep(
    bench: Workbench,
    config: GlameConfig,
    objectives: Sequence[Objective],
    asked: Sequence[Sequence[Sequence[Arrival]]],
) -> tuple[WeightUpdate, ...]:
    """The updates of one case on the later layers, for the model as it is: with the case's first write in force.

    Each end has an offset of its own, and all are written at once.

    Args:
        bench: Model, tokenizer and second moments.
        config: Hyper-parameters.
        objectives: What the edits' first write was optimised for.
        asked: Of each edit its arrivals, see `arrivals`.

    Returns:
        One update per deep layer, with a column for each end; none if nothing leads to any subject.
    """
    anatomy, limit = anatomy_of(bench.model), context_length(bench.model)
    # What the first write made right stays: the edit prompts, and the subjects' other facts.
    keeping = [row for one in objectives for row in one.rows if row.kind == "keep"]
    ends: list[Objective] = []
    for objective, its in zip(objectives, asked, strict=True):
        for alike in its:
            ending = [one._replace(answer=one.answer + config.ending) for one in alike]
            if rows := arrival_rows(bench.tokenizer, ending, 1.0, max_length=limit):
                ends.append(Objective(tuple(rows)))
        keeping.append(objective.rows[0])
    if not ends:
        return ()
    with frozen(bench.model):
        batch = EditBatch(bench.model, anatomy, ends, config.deep_layers)
        free = config.model_copy(update={"free_offset": True})
        offsets = []
        for number in range(len(ends)):
            values = [batch.of_edit(number, layer)[1].mean(dim=0) for layer in config.deep_layers]
            offsets.append(GraphOffset(free, torch.stack(values), None, None))
        found = optimise(batch, offsets, steps=config.steps, stop_loss=config.stop_loss, keep="best")
        case = [(objective, solution.offset) for objective, solution in zip(ends, found, strict=True)]
        if keeping:
            held = Objective(tuple(replace(row, place=row.scored[0]) for row in keeping))
            case.append((held, torch.zeros_like(case[0][1])))
        (updates,) = write_layers(
            bench.model, anatomy, [case], config.deep_layers, bench.moments, key="contexts", ridge=config.deep_ridge
        )
    # The column of what is held does nothing but take part in the solution.
    return tuple(replace(one, left=one.left[:, : len(ends)], right=one.right[:, : len(ends)]) for one in updates)
