"""The folder of a model, looked at before anything of it is loaded: what its weights are, where, and of what size.

transformers follows whatever `model.safetensors.index.json`, `config.json` and `adapter_config.json` name, also out of
the folder and into pickles. Here that is refused first, and so are senseless sizes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors import safe_open

from kgedit.delta.storage import MANIFEST
from kgedit.io.atomic_files import is_plain_name
from kgedit.io.hub import in_words
from kgedit.lm.sources.sizes import check_counts

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = ("F64", "F32", "F16", "BF16")
_MASKS = (".bias", ".masked_bias", "position_ids", "inv_freq")  # buffers that old files hold beside the weights


def hub_folder(hub_id: str, revision: str | None, *, with_code: bool) -> Path:
    """Fetch a model of the hub, or find it in the hub's cache, and return its folder there.

    Args:
        hub_id: E.g. "owner/name".
        revision: Branch, tag or commit.
        with_code: Also fetch its Python files.

    Raises:
        HubFailed: It is not there, or out of reach.
        ValueError: Its index names other files than safetensors.
    """

    def fetched(patterns: list[str]) -> Path:
        with in_words("there is no such folder or file, and it cannot be got from the Hugging Face hub"):
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))

    wanted = ["*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", *(["*.py"] if with_code else [])]
    return fetched([*wanted, *_weight_names(fetched(wanted))])


def check_folder(folder: Path) -> int:
    """Refuse a folder of which something else would be loaded than floating-point safetensors that lie in it.

    Returns:
        How many numbers its weights have.

    Raises:
        OSError, SafetensorError: A file is missing or damaged.
        ValueError: It is an adapter, or no model at all; or its weights lie elsewhere, are quantised, or are not as
            many as its config means.
    """
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            "it holds an adapter (adapter_config.json); merge it into its base model first, with merge_and_unload of "
            "peft, or name the base."
        )
    if not (folder / "config.json").exists():
        told = "; name a saved edit with --delta, and its model with --model" if (folder / MANIFEST).exists() else ""
        raise ValueError(f"it has no config.json, so it is no model of transformers{told}.")
    config = _json_object(folder / "config.json")
    if config.get("quantization_config") is not None:
        raise ValueError(
            "its weights are quantised (quantization_config in config.json) and cannot be edited; take the model that "
            "they were made from."
        )
    if config.get("transformers_weights") is not None:
        raise ValueError(f"its config.json names other weights than {_WEIGHTS} (transformers_weights); rename them.")
    tensors, elements = 0, 0
    for name in _weight_names(folder):
        _check_inside(folder, folder / name)
        for tensor, shape, dtype in _header(folder / name):
            if dtype not in _FLOATS and not tensor.endswith(_MASKS):
                raise ValueError(f"its weights are no floating-point numbers: {tensor} is {dtype}.")
            tensors, elements = tensors + 1, elements + math.prod(shape)
    check_counts(config, tensors)
    return elements


def _weight_names(folder: Path) -> list[str]:
    """Names of the files that transformers would open."""
    if (folder / _WEIGHTS).exists() or not (folder / _INDEX).exists():
        return [_WEIGHTS]
    index = _json_object(folder / _INDEX)
    places = index.get("weight_map")
    names = list(places.values()) if isinstance(places, dict) else []
    if not names or not isinstance(index.get("metadata"), dict):
        raise ValueError(f"{_INDEX} does not say which file holds which tensor.")
    for name in names:
        if not isinstance(name, str) or not is_plain_name(name) or not name.endswith(".safetensors"):
            raise ValueError(f"{_INDEX} names {name!r}, which is no safetensors file in the folder.")
    return sorted(set(names))


def _check_inside(folder: Path, file: Path) -> None:
    """A link may lead within the folder, or to a blob in the cache of the hub, as the hub's own snapshots do."""
    if not file.is_file():
        raise ValueError(f"there is no file named {file.name} in it.")
    place = file.resolve().parent
    is_blob = place.name == "blobs" and place.parent.name.startswith("models--")
    if not is_blob and not place.is_relative_to(folder.resolve()):
        raise ValueError(f"{file.name} is a link to {file.resolve()}, outside the folder; copy the file instead.")


def _header(file: Path) -> Iterator[tuple[str, list[int], str]]:
    """Name, shape and dtype of each tensor; no weight is read."""
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118
            part = opened.get_slice(name)
            yield name, part.get_shape(), part.get_dtype()


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is not a valid JSON file ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a valid JSON file of this kind: it holds no object.")
    return value
