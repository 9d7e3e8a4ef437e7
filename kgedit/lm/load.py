"""Load a causal language model and its tokenizer, from a folder or from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kgedit.errors import UnknownModel

_COMMIT = re.compile(r"[0-9a-f]{40}")


def load_model(
    name: str,
    *,
    device: str | None = None,
    dtype: torch.dtype | str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model from safetensors, in evaluation mode.

    Args:
        name: A folder or a hub id.
        device: Torch device; the CPU by default.
        dtype: Of the weights; "auto" is the stored one (float32 for mini).
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run the repository's own Python; needs `revision` to be a full commit.

    Raises:
        UnknownModel: Nothing of this name can be loaded.
        ValueError: Remote code without a pinned commit.
    """
    if trust_remote_code and not (revision and _COMMIT.fullmatch(revision)):
        raise ValueError("trust_remote_code runs code from the repository: pin it with revision=<40-digit commit>")
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, use_safetensors=True, **options)
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        kind = "folder" if Path(name).exists() else "hub id"
        raise UnknownModel(
            f'no model can be loaded from {name!r} (taken as a {kind}): {reason} Use "mini", a folder with '
            "config.json, tokenizer.json and safetensors weights, or a hub id that this machine can reach."
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    if device:
        model.to(torch.device(device))  # type: ignore[arg-type]
    model.eval()  # type: ignore[no-untyped-call]
    return model, tokenizer
