"""Knowledge neurons: which entries of the MLPs' keys an answer depends on, by integrated gradients (Dai et al., 2022).

A neuron is entry i of the key k that an MLP output matrix reads at the prompt's last token; it adds k_i times column i
to the residual stream. Its attribution to an answer token t is

    Attr_i = k_i * (mean over j of dP(t) / dk_i at (j - 1/2) / m * k),    j = 1 ... m,

which sums over a layer's neurons to about P(t) at k minus P(t) at 0. The midpoints make that sum more exact than the
ends of the m intervals do, and let one step mean something, too. docs/methods.md, "Knowledge neurons".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import anatomy_of, context_length, to_math
from kgedit.lm.cache import fork, prefill
from kgedit.lm.generation.endings import answer_text, end_tokens, is_over
from kgedit.lm.generation.greedy import continue_greedily
from kgedit.lm.hooks import capture, frozen, replay
from kgedit.lm.padding import position_ids

STEPS = 20  # published: intervals of the integral
THRESHOLD = 0.2  # published for gpt2-xl: share of the largest attribution
SHARE = 0.4  # published: share of the wordings
ANSWER = 3  # tokens of an answer that are attributed
_ROWS = 64  # points of the integral that are computed at once
_ENDS = (".", "\n")


class Neuron(NamedTuple):
    """One entry of the key of a layer, and its attribution."""

    layer: int
    entry: int
    attribution: float


def integrated_gradients(
    function: Callable[[Tensor], Tensor], point: Tensor, *, steps: int = STEPS, rows: int = _ROWS
) -> Tensor:
    """Integrated gradients along the straight way from 0 to a point (Sundararajan et al., 2017).

    Args:
        function: (n, d) -> (n,), differentiable, each row for itself.
        point: (d,).
        steps: Intervals of the integral, at least 1.
        rows: How many of their midpoints are handed to the function at once.

    Returns:
        (d,) the attribution of each entry of the point.
    """
    shares = (torch.arange(steps, device=point.device, dtype=point.dtype) + 0.5) / steps  # (steps,)
    total = torch.zeros_like(point)
    for some in torch.split(shares, rows):
        inputs = (some[:, None] * point).requires_grad_()  # (n, d)
        (gradients,) = torch.autograd.grad(function(inputs).sum(), inputs)  # (n, d)
        total += gradients.sum(dim=0)
    return point * total / steps


def own_answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], most: int = ANSWER
) -> tuple[int, ...]:
    """The first tokens of what the model itself says behind a prompt, up to the end of its sentence; at least one."""
    room = max(1, min(most, context_length(model) - len(prompt)))
    ((tokens, _),) = continue_greedily(model, tokenizer, [prompt], [room], [_ENDS])
    ends = end_tokens(model, tokenizer)
    while len(tokens) > 1 and (tokens[-1] in ends or is_over(answer_text(tokenizer, tokens, ends), _ENDS)):
        tokens = tokens[:-1]
    return tuple(tokens)


@torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
def attributions(
    model: PreTrainedModel,
    prompt: Sequence[int],
    answer: Sequence[int],
    *,
    steps: int = STEPS,
    rows: int = _ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Attribution of every neuron to an answer, mean over its tokens.

    Args:
        model: A causal language model of a known family; left as it was.
        prompt: Token ids.
        answer: Token ids behind it; each is attributed at the token before it.
        steps: Intervals of the integral.
        rows: Points that are computed at once, at most.
        progress: Called with the numbers of layers done and in all.

    Returns:
        (layers, d_ff) float32 on the CPU.
    """
    layers = anatomy_of(model).n_layers(model)
    found: list[Tensor] = []  # (layers, d_ff) for each token of the answer
    with frozen(model):
        for number, token in enumerate(answer):
            run = _LastToken(model, (*prompt, *answer[:number]))
            by_layer = []
            for layer in range(layers):
                # Only the last token's state from this block on depends on its key here: nothing else is run again.
                of_layer = run.probability(layer, token)
                by_layer.append(integrated_gradients(of_layer, run.keys[layer], steps=steps, rows=rows).cpu())
                if progress:
                    progress(number * layers + layer + 1, layers * len(answer))
            found.append(torch.stack(by_layer))  # (layers, d_ff)
    return torch.stack(found).mean(dim=0)


def coarse_set(attributed: Tensor, threshold: float = THRESHOLD) -> list[Neuron]:
    """The neurons above a share of the largest attribution of all, the largest first.

    Args:
        attributed: (layers, d_ff), see `attributions`.
        threshold: The share, at least 0 and below 1.

    Returns:
        None where no attribution is positive.
    """
    largest = float(attributed.max())
    if largest <= 0:
        return []
    places = (attributed > threshold * largest).nonzero().tolist()
    neurons = [Neuron(layer, index, float(attributed[layer, index])) for layer, index in places]
    return sorted(neurons, key=lambda neuron: (-neuron.attribution, neuron.layer, neuron.entry))


def refined_set(sets: Sequence[Sequence[Neuron]], share: float = SHARE) -> list[Neuron]:
    """The neurons that are in the coarse sets of more than a share of the wordings, the most frequent first.

    What they attribute is the mean over the sets that have them.
    """
    times = Counter((neuron.layer, neuron.entry) for own in sets for neuron in own)
    total = Counter[tuple[int, int]]()
    for own in sets:
        for neuron in own:
            total[neuron.layer, neuron.entry] += neuron.attribution  # type: ignore[assignment]
    kept = [place for place, count in times.items() if count > share * len(sets)]
    kept.sort(key=lambda place: (-times[place], -total[place] / times[place], place))
    return [Neuron(*place, total[place] / times[place]) for place in kept]


class _LastToken:
    """The last token of a text as a function of its key in one layer; what is before it is cached.

    Attributes:
        keys: Of each layer (d_ff,) float32, where the layer lies: the keys of the unpatched run.
    """

    def __init__(self, model: PreTrainedModel, ids: Sequence[int]) -> None:
        self._model, self._anatomy = model, anatomy_of(model)
        device = self._anatomy.weight(model, 0).device
        tokens = torch.tensor([list(ids)], device=device)  # (1, tokens)
        mask = torch.ones_like(tokens)
        places = position_ids(mask)
        self._last = {"input_ids": tokens[:, -1:], "attention_mask": mask, "position_ids": places[:, -1:]}
        self._past = prefill(model, tokens[:, :-1], mask[:, :-1], places[:, :-1])
        layers = range(self._anatomy.n_layers(model))
        out = {str(layer): self._anatomy.mlp_out(model, layer) for layer in layers}
        blocks = {str(layer): self._anatomy.block(model, layer) for layer in layers}
        with (
            torch.no_grad(),
            capture(out, inputs=True, rows=1) as keys,
            capture(out, rows=1) as values,
            capture(blocks, rows=1) as states,
        ):
            model(**self._last, past_key_values=fork(self._past), use_cache=True)
        self.keys = [keys[str(layer)][0, 0].float() for layer in layers]  # each (d_ff,)
        self._values = [values[str(layer)][0, 0].float() for layer in layers]  # each (d,)
        self._states = [states[str(layer)][0, 0].float() for layer in layers]  # each (d,)

    def probability(self, layer: int, token: int) -> Callable[[Tensor], Tensor]:
        """Keys (n, d_ff) at a layer -> (n,) probability of the token."""
        model, anatomy = self._model, self._anatomy
        weight = to_math(anatomy.weight(model, layer).detach(), anatomy.conv1d).float()  # (d, d_ff)

        def of_keys(keys: Tensor) -> Tensor:
            offset = linear(keys - self.keys[layer], weight)  # (n, d)
            state = anatomy.shifted(model, layer, self._states[layer], self._values[layer], offset)  # (n, d)
            first = torch.zeros(len(keys), dtype=torch.long, device=keys.device)
            inputs = {name: tensor.expand(len(keys), -1) for name, tensor in self._last.items()}
            with replay(model, anatomy, layer + 1, state.unsqueeze(1)):
                output = model(**inputs, past_key_values=fork(self._past, first), use_cache=True)
            probabilities: Tensor = output.logits[:, -1].float().softmax(dim=-1)  # (n, V)
            return probabilities[:, token]  # (n,)

        return of_keys
