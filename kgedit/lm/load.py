"""Loads a causal language model and its tokenizer: the bundled one, one from a folder, or one from the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.nearest import did_you_mean, nearest
from kg_cache.settings import Settings
from kgedit.errors import HubFailed, LoadingError, UnknownModel
from kgedit.io.text import sentence
from kgedit.lm.device import SPREAD, check_all_on_devices, checked_loading
from kgedit.lm.quiet import quiet
from kgedit.lm.sound import check_sound
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.lm.sources.convert import SOURCE
from kgedit.lm.sources.folder import check_folder, hub_folder
from kgedit.lm.sources.local import local_source
from kgedit.lm.sources.sizes import check_size
from kgedit.mini import MINI, mini_folder
from kgedit.progress import Progress

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?(?<!\.gguf)")


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
        device: Torch device, e.g. "cuda" or "cuda:1"; "auto" spreads the layers over all GPUs of the machine; the CPU
            by default.
        dtype: Of the weights; "auto" is the stored one, except for the bundled model, which is stored in half
            precision and computes in float32.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run the repository's own Python; needs `revision` to be a full commit.
        progress: Called with (what, done, in all) while a GGUF file is converted.

    Raises:
        UnknownModel: Nothing of this name can be loaded, or not all of it: files are damaged, missing, no safetensors,
            or elsewhere; or what is loaded computes nothing that is finite.
        FileCorrupt, UnsupportedModel, SaveFailed: A GGUF file; see `sources.convert.converted`.
        LoadingError: The device is not on this machine, the devices together cannot hold the model, the precision is
            unknown, a local model has no revisions, or remote code is to run without a pinned commit.
        MissingExtra: A model is to be spread, or a GGUF file read, without the package for it.
    """
    place, dtype = checked_loading(device, dtype, revision, trust_remote_code=trust_remote_code)
    spread = device == SPREAD
    source = str(mini_folder()) if name == MINI else local_source(name, Settings().cache_dir, progress=progress)
    if dtype == "auto" and name and Path(source).absolute() == mini_folder():
        dtype = torch.float32
    if not source or not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
        raise _unknown(name, "there is no such folder or file, and a hub id is OWNER/NAME.")
    if revision and Path(source).is_dir():
        raise LoadingError(
            f"{name!r} is on this machine and has no revisions; leave --revision {revision} out, or name a hub id"
        )
    try:
        with quiet():
            folder = (
                Path(source) if Path(source).is_dir() else hub_folder(source, revision, with_code=trust_remote_code)
            )
            stored = check_folder(folder)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
            check_size(config, stored, trust_remote_code=trust_remote_code)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                device_map=SPREAD if spread else None,
                trust_remote_code=trust_remote_code,
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
            model: PreTrainedModel = loaded[0]
            if spread:
                check_all_on_devices(model)
            elif device:
                model.to(place)  # type: ignore[arg-type]
            model.eval()  # type: ignore[no-untyped-call]
            check_sound(model, tokenizer, loaded[1])
    except SafetensorError as error:
        raise _unknown(name, f"the weights in {folder} are damaged ({error}).{_made_anew(folder)}") from error
    except HubFailed as error:
        raise _unknown(name, f"{error}.") from error
    except (torch.OutOfMemoryError, LoadingError):
        raise
    except (OSError, ValueError) as error:
        raise _unknown(name, sentence(str(error))) from error
    except Exception as error:  # what a stranger's config makes the library raise is of any kind
        reason = sentence(f"{type(error).__name__}: {error}")
        raise _unknown(name, f"its config.json or tokenizer makes no sense: {reason}") from error
    return model, tokenizer


def _made_anew(folder: Path) -> str:
    """What to do about a damaged folder that was made from a GGUF file."""
    return f" Delete {folder}: it is made anew from the GGUF file." if (folder / SOURCE).is_file() else ""


def _unknown(name: str, reason: str) -> UnknownModel:
    meant = did_you_mean(nearest(name, (MINI, *FETCHABLE)))
    return UnknownModel(
        f"no model can be loaded from {name!r}: {reason} {meant[:1].upper()}{meant[1:]}"
        'Use "mini", a model got by `kgedit models fetch`, '
        "a GGUF file, a folder with config.json, tokenizer.json and safetensors weights, or a hub id within reach."
    )
