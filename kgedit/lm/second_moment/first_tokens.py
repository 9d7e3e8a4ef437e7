"""Finds by measurement how many first tokens of a text have keys so large that they would be most of C.

Many language models use the first token as a place to attend to when nothing else matters, and a few layers write it
there with activations thousands of times larger than any other (Sun et al., 2024, arXiv 2402.17762). One such key a
text outweighs all others in E[k k^T], which then protects little else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.quiet import quiet
from kgedit.lm.tokens import encode_text

_TEXTS, _LONGEST, _LOOKED_AT, _LIMIT = 48, 256, 4, 5.0


class FirstTokens(NamedTuple):
    """What was measured.

    Attributes:
        left_out: Number of first tokens to leave out.
        ratios: Layer -> mean ||k||^2 at each of the first positions, as multiples of the mean behind them.
    """

    left_out: int
    ratios: dict[int, tuple[float, ...]]


def outlying_first_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], layers: Sequence[int]
) -> FirstTokens:
    """Measure ||k||^2 by position over some texts.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        texts: The first 48 that are longer than four tokens are read.
        layers: Blocks whose keys are wanted.

    Returns:
        First tokens are left out as long as their mean is more than five times that of later ones in some layer; none
        where no text is long enough.
    """
    anatomy = anatomy_of(model)
    modules = {str(layer): anatomy.mlp_out(model, layer) for layer in layers}
    longest = min(_LONGEST, context_length(model))
    encoded = (encode_text(tokenizer, text)[:longest] for text in texts)
    sizes: dict[str, list[torch.Tensor]] = {name: [] for name in modules}
    for ids in islice((ids for ids in encoded if len(ids) > _LOOKED_AT), _TEXTS):
        with (
            frozen(model),
            torch.no_grad(),
            capture(modules, inputs=True, stop=True, rows=1) as keys,
            quiet(),  # transformers asks for a mask where the token of padding also begins a text
        ):
            model(input_ids=torch.tensor([ids], device=model.device))
        for name, key in keys.items():
            sizes[name].append(key[0].float().square().sum(dim=-1).cpu())  # (seq,)
    ratios = {}
    for name, rows in sizes.items():
        if rows:
            behind = torch.cat([row[_LOOKED_AT:] for row in rows]).mean()
            first = torch.stack([row[:_LOOKED_AT] for row in rows]).mean(dim=0)  # (positions,)
            ratios[int(name)] = tuple((first / behind).tolist())
    outlying = [any(of_layer[place] > _LIMIT for of_layer in ratios.values()) for place in range(_LOOKED_AT)]
    return FirstTokens([*outlying, False].index(False), ratios)
