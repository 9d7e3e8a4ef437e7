"""Loads a causal language model and its tokenizer: the bundled one, one from a folder, or one from the hub."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kgedit.errors import UnknownModel
from kgedit.mini import MINI, mini_folder

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
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
        name: "mini" (the bundled model), a folder, or a hub id. A folder of that name is "./mini".
        device: Torch device; the CPU by default.
        dtype: Of the weights; "auto" is the stored one, except for the bundled model, which is stored in half
            precision and computes in float32.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run the repository's own Python; needs `revision` to be a full commit.

    Raises:
        UnknownModel: Nothing of this name can be loaded, or not all of it: files are damaged or missing.
        ValueError: Remote code without a pinned commit.
    """
    if trust_remote_code and not (revision and _COMMIT.fullmatch(revision)):
        raise ValueError("trust_remote_code runs code from the repository: pin it with revision=<40-digit commit>")
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    source = str(mini_folder()) if name == MINI else name
    if dtype == "auto" and name and Path(source).absolute() == mini_folder():
        dtype = torch.float32
    if not source or not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
        raise _unknown(name, "there is no such folder.")
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except SafetensorError as error:
        raise _unknown(name, f"its weights are damaged ({error}).") from error
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise _unknown(name, reason) from error
    model: PreTrainedModel = loaded[0]
    report: dict[str, Any] = loaded[1]
    # Each of these would load all the same: a part of the weights random, or every text empty.
    absent = sorted(report["missing_keys"]) or sorted(key for key, *_ in report["mismatched_keys"])
    if absent:
        raise _unknown(
            name,
            f"of the tensors that its config asks for, {len(absent)} are missing or have another shape "
            f"({', '.join(absent[:3])}).",
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise _unknown(name, "it has no vocabulary (tokenizer.json is missing).")
    if device:
        model.to(torch.device(device))  # type: ignore[arg-type]
    model.eval()  # type: ignore[no-untyped-call]
    return model, tokenizer


def _unknown(name: str, reason: str) -> UnknownModel:
    return UnknownModel(
        f'no model can be loaded from {name!r}: {reason} Use "mini", a folder with config.json, tokenizer.json and '
        "safetensors weights, or a hub id that this machine can reach."
    )


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, tables and retries of transformers and its hub on the terminal; what matters becomes an error."""
    bars, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hub.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
