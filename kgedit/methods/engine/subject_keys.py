"""What a model holds at the last token of texts, at subjects above all: keys of edited layers, and states of a block.

Nothing behind the token has a say in it, and nothing above the layer is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad
from kgedit.lm.tokens import PromptTokens

_TOKENS = 4096  # of a forward pass, padding included


def subject_keys(
    model: PreTrainedModel, prompts: Sequence[PromptTokens], layers: Sequence[int]
) -> Mapping[int, Tensor]:
    """Layer -> keys (n, d_ff) float32 at the subject's last token of each prompt, in order, on the model as it is."""
    return last_keys(model, [prompt.ids[: prompt.subject_last + 1] for prompt in prompts], layers)


def last_keys(model: PreTrainedModel, rows: Sequence[Sequence[int]], layers: Sequence[int]) -> Mapping[int, Tensor]:
    """Layer -> keys (n, d_ff) float32 on the CPU at the last token of each row of token ids, on the model as it is."""
    anatomy = anatomy_of(model)
    modules = {str(layer): anatomy.mlp_out(model, layer) for layer in layers}
    weight = {layer: anatomy.weight(model, layer) for layer in layers}
    if not rows:
        return {layer: torch.zeros(0, weight[layer].shape[0 if anatomy.conv1d else 1]).float() for layer in layers}
    found = _at_last(model, rows, modules, inputs=True)
    return {layer: found[str(layer)] for layer in layers}


def last_states(model: PreTrainedModel, rows: Sequence[Sequence[int]], layer: int) -> Tensor:
    """Output of a layer's block (n, d) float32 on the CPU, at the last token of each row of token ids."""
    return _at_last(model, rows, {"state": anatomy_of(model).block(model, layer)}, inputs=False)["state"]


def _at_last(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], modules: Mapping[str, nn.Module], *, inputs: bool
) -> dict[str, Tensor]:
    """Name -> (n, width), what modules take in or give out at the last token of each row."""
    # Equal rows are run once, and rows of similar length together.
    different = sorted({tuple(row) for row in rows}, key=lambda row: (len(row), row))
    read: dict[str, list[Tensor]] = {name: [] for name in modules}
    start = 0
    while start < len(different):
        end = start + 1
        while end < len(different) and (end + 1 - start) * len(different[end]) <= _TOKENS:
            end += 1
        part = different[start:end]
        ids, mask = pad(part, 0, "right")  # (part, longest)
        last = torch.tensor([len(row) - 1 for row in part])
        with (
            frozen(model),
            torch.no_grad(),
            capture(modules, inputs=inputs, stop=True, rows=len(part)) as captured,
        ):
            model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False)
        for name, values in captured.items():
            read[name].append(values[torch.arange(len(part)), last].float().cpu())  # (part, width)
        start = end
    place = {row: number for number, row in enumerate(different)}
    order = torch.tensor([place[tuple(row)] for row in rows])
    return {name: torch.cat(parts)[order] for name, parts in read.items()}
