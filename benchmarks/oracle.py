"""The optimisation of m* as plainly as it can be written: the tests and `value.py` compare the fast one with it.

Every sequence is run alone and whole, without padding, cache or stored states, and the head is applied to every
position. All that is shared with the package is where a family keeps its MLP output (`anatomy`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import anatomy_of


@dataclass(frozen=True)
class Sentence:
    """A prompt about the subject, its object, and how much it counts.

    Attributes:
        ids: Tokens of prompt and object.
        start: Number of prompt tokens; the object begins there.
        pivot: Position of the subject's last token.
        weight: Of its loss.
        keep: The distribution over the object's tokens shall stay; else the object shall become likely.
        only_pivot: What follows the pivot is all that counts ("{s} is a").
    """

    ids: list[int]
    start: int
    pivot: int
    weight: float = 1.0
    keep: bool = False
    only_pivot: bool = False


def sentence(
    tokenizer: PreTrainedTokenizerBase, prompt: str, subject: str, target: str = "", prefix: str = "", **kwargs
) -> Sentence:
    """One tokenisation of the whole text; for texts where prompt and object share no token."""
    begin = len(prefix) + prompt.index("{}")
    text = prefix + prompt.replace("{}", subject)
    whole = tokenizer(f"{text} {target}".rstrip(), return_offsets_mapping=True)
    alone = tokenizer(text)["input_ids"]
    assert whole["input_ids"][: len(alone)] == alone, f"{text!r} and {target!r} share a token"
    last = begin + len(subject) - 1  # the subject's last character
    covering = [i for i, (a, b) in enumerate(whole["offset_mapping"]) if a <= last < b]
    return Sentence(whole["input_ids"], len(alone), covering[-1], **kwargs)


def rome_sentences(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    subject: str,
    target: str,
    prefixes: Sequence[str],
    kl_weight: float,
) -> list[Sentence]:
    """ROME's: the edit prompt behind every prefix, and "{s} is a"."""
    share = 1 / len(prefixes)
    contexts = [sentence(tokenizer, prompt, subject, target, prefix, weight=share) for prefix in prefixes]
    return [*contexts, sentence(tokenizer, "{} is a", subject, weight=kl_weight, only_pivot=True)]


class Plain:
    """The loss of an offset, and the states that the closed form needs.

    Attributes:
        values: (sentences, layers, d) unedited MLP outputs at the pivots.
        keys: (sentences, layers, d_ff) their keys.
    """

    def __init__(self, model: PreTrainedModel, layers: Sequence[int], sentences: Sequence[Sentence]) -> None:
        anatomy = anatomy_of(model)
        self.model, self.sentences = model, list(sentences)
        self.modules = [anatomy.mlp_out(model, layer) for layer in layers]
        keys, values, self.before = [], [], []
        for one in self.sentences:
            with torch.no_grad(), _seen(self.modules) as seen:
                self.before.append(F.log_softmax(self.logits(one, None), dim=-1))
            keys.append(torch.stack([k.reshape(-1, k.shape[-1])[one.pivot] for k, _ in seen]))
            values.append(torch.stack([m.reshape(-1, m.shape[-1])[one.pivot] for _, m in seen]))
        self.keys, self.values = torch.stack(keys), torch.stack(values)

    def logits(self, one: Sentence, offset: Tensor | None) -> Tensor:
        """(positions, vocabulary) with offset (layers, d) added to the MLP outputs at the pivot."""
        with _added(self.modules, one.pivot, offset):
            return self.model(input_ids=torch.tensor([one.ids])).logits[0].float()

    def parts(self, offset: Tensor) -> list[Tensor]:
        """The weighted loss of each sentence."""
        found = []
        for one, before in zip(self.sentences, self.before, strict=True):
            after = F.log_softmax(self.logits(one, offset), dim=-1)
            if one.only_pivot:
                loss = _kl(after[one.pivot], before[one.pivot])
            else:
                each = [
                    _kl(after[i - 1], before[i - 1]) if one.keep else -after[i - 1, one.ids[i]]
                    for i in range(one.start, len(one.ids))
                ]
                loss = sum(each) / len(each)
            found.append(one.weight * loss)
        return found

    def loss(self, offset: Tensor) -> Tensor:
        """Sum of `parts`."""
        return sum(self.parts(offset))


@dataclass
class Found:
    """What an optimisation found: the offset m* - m, (layers, d), and the loss at each evaluation."""

    offset: Tensor
    losses: list[float] = field(default_factory=list)


def rome(
    plain: Plain,
    *,
    steps: int = 20,
    learning_rate: float = 0.5,
    weight_decay: float = 0.5,
    clamp: float = 4.0,
    stop_loss: float = 0.05,
) -> Found:
    """ROME's loop: Adam on a free vector, its norm held to `clamp` times that of m after each step."""
    size = plain.values[0].norm(dim=-1)  # (layers,)
    delta = torch.zeros_like(plain.values[0], requires_grad=True)
    adam = torch.optim.Adam([delta], lr=learning_rate)
    losses = []
    for step in range(steps):
        decay = sum(delta[i].norm() / size[i] ** 2 for i in range(len(delta)))
        loss = plain.loss(delta) + weight_decay * decay
        losses.append(loss.item())
        if loss < stop_loss or step == steps - 1:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            for i, bound in enumerate(clamp * size):
                if delta[i].norm() > bound:
                    delta[i] *= bound / delta[i].norm()
    return Found(delta.detach(), losses)


@dataclass(frozen=True)
class Graph:
    """A subgraph in numbers: node vectors (nodes, d), relation vectors (relations, d), (subject, relation, object)."""

    nodes: Tensor
    relations: Tensor
    triples: list[tuple[int, int, int]]


def published_glame(
    plain: Plain,
    graph: Graph,
    weights: Sequence[tuple[Tensor, Tensor]],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    clamp: float,
    stop_loss: float,
) -> Found:
    """The released GLAME code's loop, without dropout: AdamW on the encoder, whose vector of s is the offset.

    Args:
        plain: With one edit layer.
        graph: Node 0 is s.
        weights: (W_n, W_s) of each encoder layer, at the start.
        steps: Evaluations of the loss.
        learning_rate: AdamW's.
        weight_decay: AdamW's.
        clamp: Bound of ||offset|| / ||m||.
        stop_loss: The loop stops below this loss.
    """
    trained = [(n.clone().requires_grad_(), s.clone().requires_grad_()) for n, s in weights]
    adamw = torch.optim.AdamW([w for pair in trained for w in pair], lr=learning_rate, weight_decay=weight_decay)
    bound = clamp * plain.values[0, 0].norm()
    losses: list[float] = []
    best, best_z = float("inf"), None
    for step in range(steps):
        z = encode(graph, trained)[0]  # (d,)
        if step > 0 and z.norm() > bound:
            z.data.mul_(bound / z.data.norm())  # in place and unseen by autograd, as the released code does
        loss = plain.loss(z.unsqueeze(0))
        losses.append(loss.item())
        if losses[-1] < best:
            best, best_z = losses[-1], z.detach().clone()
        if losses[-1] < stop_loss or step == steps - 1:
            break
        adamw.zero_grad()
        loss.backward()
        adamw.step()
    with torch.no_grad():
        z = encode(graph, trained)[0]
        z = z * min(1.0, float(bound / z.norm()))
        final = float(plain.loss(z.unsqueeze(0)))
    if final >= stop_loss and final > best + 0.1:
        z = best_z
    return Found(z.unsqueeze(0), losses)


def encode(graph: Graph, weights: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """(nodes, d): means over messages, every node sending one to itself with the vector of relation 1."""
    h = graph.nodes
    for message, own in weights:
        rows = []
        for u in range(len(h)):
            heard = [(h[o] + graph.relations[r]) @ message for s, r, o in graph.triples if s == u]
            heard.append((h[u] + graph.relations[min(1, len(graph.relations) - 1)]) @ message)
            rows.append(F.leaky_relu(sum(heard) / len(heard) + h[u] @ own, (1 / 8 + 1 / 3) / 2))
        h = torch.stack(rows)
    return h


@contextmanager
def _added(modules: Sequence[torch.nn.Module], pivot: int, offset: Tensor | None) -> Iterator[None]:
    def hook(number: int):
        def change(module: torch.nn.Module, args: tuple, output: Tensor) -> Tensor:
            flat = output.reshape(-1, output.shape[-1])  # (positions, d): there is one sequence only
            moved = torch.cat([flat[:pivot], flat[pivot : pivot + 1] + offset[number], flat[pivot + 1 :]])
            return moved.to(output.dtype).reshape(output.shape)

        return change

    handles = [] if offset is None else [m.register_forward_hook(hook(i)) for i, m in enumerate(modules)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _seen(modules: Sequence[torch.nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Input and output of each module, in the order in which they run."""
    found: list[tuple[Tensor, Tensor]] = []
    handles = [m.register_forward_hook(lambda m, args, out: found.append((args[0], out))) for m in modules]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _kl(after: Tensor, before: Tensor) -> Tensor:
    """KL(after || before) of two rows of log-probabilities."""
    return (after.exp() * (after - before)).sum()
