"""Whether a loaded model is all that its files hold, and whether it computes."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_EDITABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_sound(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, report: dict[str, Any]) -> None:
    """Refuse a model that transformers loads without a word although something is wrong with it.

    Args:
        model: In evaluation mode, on its device.
        tokenizer: Its tokenizer.
        report: What `from_pretrained` tells with `output_loading_info`.

    Raises:
        ValueError: Tensors are missing, left over or of another shape; a weight is no finite number; the vocabulary
            does not fit; or the model's own settings make it compute NaN or nothing at all.
    """
    # Each of these would load all the same: a part of the weights random or left out, or every text empty.
    absent = sorted(report["missing_keys"]) or sorted(key for key, *_ in report["mismatched_keys"])
    if absent:
        raise ValueError(
            f"of the tensors that its config asks for, {len(absent)} are missing or have another shape "
            f"({', '.join(absent[:3])})."
        )
    left_over = sorted(report["unexpected_keys"])
    if left_over:
        raise ValueError(
            f"its files hold {len(left_over)} tensors for which its config has no place ({', '.join(left_over[:3])}): "
            "fewer layers, or another family, than the weights were made with."
        )
    if model.dtype not in _EDITABLE:
        raise ValueError(f"its weights are of the precision {model.dtype}, in which nothing can be edited.")
    for name, weight in chain(model.named_parameters(), model.named_buffers()):
        # Smallest and largest value, in one pass and without a copy; NaN goes into both.
        if weight.numel() and weight.is_floating_point() and not all(map(torch.isfinite, weight.detach().aminmax())):
            raise ValueError(f"its weights, or what its config makes of them, hold NaN or infinity ({name}).")
    _check_vocabulary(model, tokenizer)
    _check_end_tokens(model)
    _check_computes(model)


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    # Tokens added to a vocabulary, for padding and the like, may have no row as long as no text has them.
    added = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    ordinary = [number for number in tokenizer.get_vocab().values() if number not in added]
    if not ordinary:
        raise ValueError("it has no vocabulary (tokenizer.json is missing).")
    embedding: Any = model.get_input_embeddings()
    rows = embedding.weight.shape[0]
    if max(ordinary) >= rows:
        raise ValueError(f"its tokenizer has the token {max(ordinary)}, but the model has {rows} tokens.")


def _check_end_tokens(model: PreTrainedModel) -> None:
    """Ids of tokens that end an answer: whole numbers, one or several."""
    for source in (model.config, model.generation_config):
        ids = getattr(source, "eos_token_id", None)
        for number in ids if isinstance(ids, list | tuple) else [ids]:
            if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
                raise ValueError(f"its eos_token_id is {ids!r}, which is no number of a token.")


def _check_computes(model: PreTrainedModel) -> None:
    """Two tokens through the whole model: settings such as a negative number of heads show up only here."""
    ids = torch.tensor([[0, 1]], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits  # (1, 2, vocab)
    if not bool(torch.isfinite(logits).all()):
        raise ValueError(
            f"what it computes is NaN or infinite in {model.dtype}; if its files are whole, load it in float32 or "
            "bfloat16 (--dtype)."
        )
