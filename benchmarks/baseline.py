"""The published procedures as they are published, unoptimised: what `python -m benchmarks.bench` compares with.

Every step of an optimisation runs the whole network over all sentences, padded into one batch, with the head at every
position; edits are made one at a time; second moments run padded batches in the order of the texts through the whole
model; systems are solved with an explicit inverse; targets are scored prompt by prompt. docs/methods.md has the
mathematics. Nothing is shared with the package but the table of where a family keeps its modules (`anatomy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.oracle import Graph, Sentence, published_glame, rome
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import rewrap, unwrap


class FullForward:
    """The loss of an offset by whole forward passes; to `oracle.rome` what `oracle.Plain` is.

    Attributes:
        keys: (sentences, d_ff) inputs of the layer's second MLP matrix at the pivots.
        values: (sentences, 1, d) what the written module gives out there.
    """

    def __init__(
        self, model: PreTrainedModel, layer: int, sentences: Sequence[Sentence], *, hidden: bool = False
    ) -> None:
        """Pad the sentences, and run the model once for keys and values.

        Args:
            model: In evaluation mode, without gradients for its weights.
            layer: The layer that is written to.
            sentences: The edit's.
            hidden: Write to the block's output (MEMIT) instead of the MLP's.
        """
        anatomy = anatomy_of(model)
        self.model, self.sentences, self.matrix = model, list(sentences), anatomy.mlp_out(model, layer)
        self.written = anatomy.block(model, layer) if hidden else self.matrix
        longest = max(len(one.ids) for one in sentences)
        rows = [(one.ids + [0] * (longest - len(one.ids)), len(one.ids)) for one in sentences]
        device = self.matrix.weight.device
        self.ids = torch.tensor([ids for ids, _ in rows], device=device)  # (sentences, longest)
        self.mask = torch.tensor([[1] * n + [0] * (longest - n) for _, n in rows], device=device)
        self.pivots = torch.tensor([one.pivot for one in sentences], device=device)  # (sentences,)
        self.keys, values, logits = self.states()
        self.values = values.unsqueeze(1)  # (sentences, 1, d)
        # What the unedited model gives behind each pivot, (sentences, vocabulary).
        self.before = logits[range(len(rows)), self.pivots].float().log_softmax(dim=-1)

    def states(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values at the pivots and all logits, by one more forward pass."""
        seen: dict[str, Tensor] = {}
        handles = [
            self.matrix.register_forward_hook(lambda module, args, out: seen.update(key=args[0])),
            self.written.register_forward_hook(lambda module, args, out: seen.update(value=unwrap(out))),
        ]
        try:
            with torch.no_grad():
                logits = self.model(input_ids=self.ids, attention_mask=self.mask).logits
        finally:
            for handle in handles:
                handle.remove()
        rows = torch.arange(len(self.sentences))
        return seen["key"][rows, self.pivots].float(), seen["value"][rows, self.pivots].float(), logits

    def loss(self, offset: Tensor) -> Tensor:
        """ROME's equation 4 without its decay, for an offset (1, d)."""
        places = F.one_hot(self.pivots, self.ids.shape[1]).unsqueeze(-1)  # (sentences, longest, 1)
        handle = self.written.register_forward_hook(
            lambda module, args, out: rewrap(out, unwrap(out) + (places * offset[0]).to(unwrap(out).dtype))
        )
        try:
            logits = self.model(input_ids=self.ids, attention_mask=self.mask).logits
        finally:
            handle.remove()
        scores = logits.float().log_softmax(dim=-1)  # (sentences, longest, vocabulary)
        total = offset.new_zeros(())
        for row, one in enumerate(self.sentences):
            if one.only_pivot:
                after, before = scores[row, one.pivot], self.before[row]
                total = total + one.weight * (after.exp() * (after - before)).sum()
            else:
                places_of = range(one.start, len(one.ids))
                total = total - one.weight * sum(scores[row, i - 1, one.ids[i]] for i in places_of) / len(places_of)
        return total


def explicit_inverse(moment: Tensor, ridge: float) -> Tensor:
    """C^-1 in float64, with a ridge that is a share of C's mean diagonal."""
    wide = moment.double()
    return torch.inverse(
        wide + ridge * wide.diagonal().mean() * torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
    )


def rome_edit(
    model: PreTrainedModel, layer: int, sentences: Sequence[Sentence], inverse: Tensor, **settings: float
) -> Tensor:
    """DW of one edit, (d, d_ff) float64, with the averaged key (r-ROME).

    Args:
        model: The model.
        layer: Edit layer.
        sentences: See `oracle.rome_sentences`.
        inverse: C^-1, which the published code keeps from edit to edit.
        settings: See `oracle.rome`.
    """
    whole = FullForward(model, layer, sentences)
    found = rome(whole, **settings)
    return _rank_one(whole, found.offset[0], inverse, mixed=False)


def glame_edit(
    model: PreTrainedModel,
    layer: int,
    sentences: Sequence[Sentence],
    inverse: Tensor,
    graph: Graph,
    weights: Sequence[tuple[Tensor, Tensor]],
    **settings: float,
) -> Tensor:
    """DW of one GLAME edit as published, without dropout; `rome_edit` and `oracle.published_glame`."""
    whole = FullForward(model, layer, sentences)
    found = published_glame(whole, graph, weights, **settings)
    return _rank_one(whole, found.offset[0], inverse, mixed=True)


def published_graph(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, subgraph: Subgraph, layer: int
) -> Graph:
    """A subgraph in numbers: each label alone through the whole model, the mean of a block's output."""
    vectors = []
    for label in (*subgraph.node_labels, *subgraph.relation_labels):
        ids = torch.tensor([tokenizer(label)["input_ids"]], device=model.device)
        with torch.no_grad():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[layer + 1]  # (1, tokens, d)
        vectors.append(states[0].float().mean(dim=0))
    node, relation = subgraph.nodes.index, subgraph.relations.index
    triples = [(node(t.subject), relation(t.relation), node(t.object)) for t in subgraph.triples]
    return Graph(torch.stack(vectors[: len(subgraph.nodes)]), torch.stack(vectors[len(subgraph.nodes) :]), triples)


def _rank_one(whole: FullForward, offset: Tensor, inverse: Tensor, *, mixed: bool) -> Tensor:
    """ROME, equation 2; `mixed` is the published mixture of keys."""
    keys, values = (states.double().cpu() for states in whole.states()[:2])  # once more, after the optimisation
    contexts = [row for row, one in enumerate(whole.sentences) if not one.only_pivot]
    mean = keys[contexts].mean(dim=0)  # (d_ff,)
    direction = inverse @ mean
    wide = offset.double().cpu()
    if mixed:
        return torch.outer(wide, direction) / (keys[0] @ direction)  # (d, d_ff)
    return torch.outer(values[0] + wide - values[contexts].mean(dim=0), direction) / (mean @ direction)  # (d, d_ff)


def memit_edits(
    model: PreTrainedModel,
    layers: Sequence[int],
    edits: Sequence[Sequence[Sentence]],
    moments: Sequence[Tensor],
    *,
    moment_weight: float,
    ridge: float,
    **settings: float,
) -> list[Tensor]:
    """DW of each layer of a band for many edits, (d, d_ff) float64 each; z one edit at a time.

    Args:
        model: The model; left as it was.
        layers: The band.
        edits: Sentences of each edit.
        moments: C of each layer.
        moment_weight: lambda.
        ridge: See `explicit_inverse`.
        settings: See `oracle.rome`.
    """
    wanted = []
    for sentences in edits:
        whole = FullForward(model, layers[-1], sentences, hidden=True)
        wanted.append(whole.values[0, 0].double() + rome(whole, **settings).offset[0].double())
    anatomy, changes = anatomy_of(model), []
    matrices = [anatomy.mlp_out(model, layer).weight for layer in layers]
    kept = [matrix.detach().clone() for matrix in matrices]
    try:
        for place, layer in enumerate(layers):
            keys, missing = [], []
            for sentences, z in zip(edits, wanted, strict=True):
                here = FullForward(model, layer, sentences)
                of_contexts = here.keys[[row for row, one in enumerate(sentences) if not one.only_pivot]].double()
                behind = of_contexts[1:].mean(dim=0) if len(of_contexts) > 1 else of_contexts[0]
                keys.append((of_contexts[0] + behind) / 2)  # the bare prompt weighs as much as all prefixes
                above = FullForward(model, layers[-1], sentences, hidden=True)
                missing.append((z - above.values[0, 0].double()) / (len(layers) - place))
            wide = torch.stack(keys, dim=1)  # (d_ff, edits)
            c = moments[place].double()
            c = c + ridge * c.diagonal().mean() * torch.eye(len(c), dtype=c.dtype)
            change = (
                torch.stack(missing, dim=1) @ wide.T @ torch.inverse(moment_weight * c + wide @ wide.T)
            )  # (d, d_ff)
            changes.append(change)
            with torch.no_grad():
                matrices[place] += (change.T if anatomy.conv1d else change).to(matrices[place].dtype)
    finally:
        with torch.no_grad():
            for matrix, before in zip(matrices, kept, strict=True):
                matrix.copy_(before)
    return changes


def second_moment(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], layer: int, *, rows: int = 8
) -> Tensor:
    """C of a layer, (d_ff, d_ff) float64: whole forward passes over padded batches in the order of the texts."""
    matrix, seen = anatomy_of(model).mlp_out(model, layer), {}
    ids = [tokenizer(text)["input_ids"] for text in texts]
    total, count = torch.zeros((), dtype=torch.float64, device=model.device), 0
    handle = matrix.register_forward_hook(lambda module, args, out: seen.update(key=args[0]))
    try:
        for start in range(0, len(ids), rows):
            part = ids[start : start + rows]
            longest = max(map(len, part))
            padded = torch.tensor([row + [0] * (longest - len(row)) for row in part], device=model.device)
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in part], device=model.device)
            with torch.no_grad():
                model(input_ids=padded, attention_mask=mask)
            keys = seen["key"][mask.bool()].float()  # (tokens, d_ff)
            total = total + (keys.T @ keys).double()
            count += len(keys)
    finally:
        handle.remove()
    return (total / count).cpu()


def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], float]:
    """Mean log-probability of each target's tokens behind its prompt: a forward pass for each of them."""
    found = {}
    for prompt, target in pairs:
        before = tokenizer(prompt)["input_ids"]
        after = tokenizer(f"{prompt} {target}")["input_ids"][len(before) :]
        ids = torch.tensor([[*before, *after]], device=model.device)
        with torch.no_grad():
            scores = model(ids).logits[0].float().log_softmax(-1)  # (tokens, vocabulary)
        places = range(len(before) - 1, len(before) + len(after) - 1)
        found[prompt, target] = float(scores[list(places), after].mean())
    return found
