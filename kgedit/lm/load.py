"""Loads a causal language model and its tokenizer: the bundled one, one from a folder, or one from the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.settings import Settings
from kgedit.errors import LoadingError, UnknownModel
from kgedit.lm.device import check_trust, checked_device, checked_dtype
from kgedit.lm.quiet import quiet
from kgedit.lm.sources.local import local_source
from kgedit.mini import MINI, mini_folder
from kgedit.progress import Progress

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def load_model(
    name: str,
    *,
    device: str | None = None,
    dtype: torch.dtype | str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model from safetensors, in evaluation mode.

    Args:
        name: "mini" (the bundled model), a fetched model ("smollm2"), a GGUF file or a folder with one, a folder
            with safetensors, or a hub id. A folder that is called like a model here is "./mini".
        device: Torch device, e.g. "cuda" or "cuda:1"; the CPU by default.
        dtype: Of the weights; "auto" is the stored one, except for the bundled model, which is stored in half
            precision and computes in float32.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run the repository's own Python; needs `revision` to be a full commit.
        progress: Called with (what, done, in all) while a GGUF file is converted.

    Raises:
        UnknownModel: Nothing of this name can be loaded, or not all of it: files are damaged or missing.
        FileCorrupt, UnsupportedModel, SaveFailed, MissingExtra: A GGUF file; see `sources.convert.converted`.
        LoadingError: The device is not on this machine, the precision is unknown, a local model has no revisions, or
            remote code is to run without a pinned commit.
    """
    check_trust(revision, trust_remote_code=trust_remote_code)
    place, dtype = checked_device(device), checked_dtype(dtype)
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    source = str(mini_folder()) if name == MINI else local_source(name, Settings().cache_dir, progress=progress)
    if dtype == "auto" and name and Path(source).absolute() == mini_folder():
        dtype = torch.float32
    if not source or not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
        raise _unknown(name, "there is no such folder.")
    if revision and Path(source).is_dir():
        raise LoadingError(
            f"{name!r} is on this machine and has no revisions; leave --revision {revision} out, or name a hub id"
        )
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
        model.to(place)  # type: ignore[arg-type]
    model.eval()  # type: ignore[no-untyped-call]
    return model, tokenizer


def _unknown(name: str, reason: str) -> UnknownModel:
    return UnknownModel(
        f'no model can be loaded from {name!r}: {reason} Use "mini", a model got by `kgedit models fetch`, '
        "a GGUF file, a folder with config.json, tokenizer.json and safetensors weights, or a hub id within reach."
    )
