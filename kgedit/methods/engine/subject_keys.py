"""The keys of subjects: what an edited layer reads at the subject's last token of each prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad
from kgedit.lm.tokens import PromptTokens

_ROWS = 256


def subject_keys(
    model: PreTrainedModel, prompts: Sequence[PromptTokens], layers: Sequence[int]
) -> Mapping[int, Tensor]:
    """Layer -> keys (n, d_ff) float32 at the subject's last token of each prompt, in order, on the model as it is."""
    anatomy = anatomy_of(model)
    modules = {str(layer): anatomy.mlp_out(model, layer) for layer in layers}
    width = {layer: anatomy.weight(model, layer).shape[0 if anatomy.conv1d else 1] for layer in layers}
    keys = {layer: torch.zeros(len(prompts), width[layer], dtype=torch.float32) for layer in layers}
    # Texts of similar length together; what stands behind the subject has no say in its key.
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number].ids))
    for start in range(0, len(order), _ROWS):
        part = order[start : start + _ROWS]
        last = [prompts[number].subject_last for number in part]
        rows = [prompts[number].ids[: place + 1] for number, place in zip(part, last, strict=True)]
        ids, mask = pad(rows, 0, "right")  # (part, longest)
        with frozen(model), torch.no_grad(), capture(modules, inputs=True, rows=len(part)) as captured:
            model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False)
        for layer in layers:
            read = captured[str(layer)]  # (part, longest, d_ff)
            keys[layer][part] = read[torch.arange(len(part)), torch.tensor(last)].float().cpu()
    return keys
