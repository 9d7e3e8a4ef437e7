"""Turns a GGUF file into a folder that transformers loads: float32 weights, config, tokenizer, kept in the cache.

transformers dequantises the tensors; what it would pass over in silence (tensors without a place, scaled rotary
frequencies, another split of words) is checked or set right here. The folder's name is the file's SHA-256.
"""

from __future__ import annotations

import json
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from kgedit.errors import SaveFailed, UnsupportedModel
from kgedit.io.atomic_files import write_files
from kgedit.io.atomic_folder import whole_folder
from kgedit.io.text import sentence
from kgedit.io.whole_file import sha256_of
from kgedit.lm.anatomy import FAMILIES, anatomy_of, mixture_of_experts
from kgedit.lm.quiet import quiet
from kgedit.lm.sources.gguf_file import check_is_gguf, field, open_model
from kgedit.lm.sources.rope import ROPE_FREQUENCIES, rope_parameters, rotary_share
from kgedit.lm.sources.sizes import check_counts, check_size
from kgedit.lm.sources.tokenizer import tokenized_as_llama_cpp
from kgedit.progress import Progress

SOURCE = "gguf-source.json"  # in the folder: which file it was made from
_VERSION = 3  # of the conversion; a folder of another version is made anew


def converted(path: Path, cache_dir: Path, *, progress: Progress | None = None) -> Path:
    """The folder made from a GGUF file, from the cache if it was made before.

    Args:
        path: The file.
        cache_dir: Folder of the cache; holds four bytes per parameter afterwards.
        progress: Called with (what, done, in all).

    Raises:
        FileCorrupt: The file is no GGUF file or is cut short.
        UnsupportedModel: Its architecture, tokenizer or tensors are of a kind that cannot be read or edited.
        SaveFailed: The cache folder is full or cannot be written.
        MissingExtra: The package `gguf` is not installed.
    """
    check_is_gguf(path)
    sha256 = sha256_of(path)
    folder = cache_dir / "models" / "converted" / f"{sha256[:32]}-{_VERSION}"
    if (folder / SOURCE).is_file():
        noted = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        if not Path(noted["path"]).is_file():  # it was moved since
            with suppress(SaveFailed):  # of a cache that cannot be written: it is converted all the same
                write_files(folder, {SOURCE: json.dumps(noted | {"path": str(path.absolute())}, indent=1).encode()})
        return folder
    if progress is not None:
        progress(f"Converting {path.name} (once)", 0, 0)
    reader = open_model(path)
    model, tokenizer = _loaded(path, reader)
    about = {
        "file": path.name,
        "path": str(path.absolute()),
        "sha256": sha256,
        "architecture": field(reader, "general.architecture"),
        "name": field(reader, "general.name", path.stem),
        "licence": field(reader, "general.license"),
    }
    model.config.gguf_source = {name: about[name] for name in ("file", "sha256", "architecture", "name", "licence")}
    with whole_folder(folder, _ours) as beside, quiet():
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        (beside / SOURCE).write_text(json.dumps(about, indent=1), encoding="utf-8")
    return folder


def _ours(folder: Path) -> set[str]:
    """Every file: the folder is one of the cache."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def source_file(sha256: str, cache_dir: Path) -> Path | None:
    """The GGUF file of this hash from which a folder in the cache was made, if it is still where it was."""
    for note in sorted((cache_dir / "models" / "converted").glob(f"{sha256[:32]}-*/{SOURCE}")):
        path = Path(json.loads(note.read_text(encoding="utf-8"))["path"])
        if path.is_file() and sha256_of(path) == sha256:
            return path
    return None


def _loaded(path: Path, reader: Any) -> tuple[PreTrainedModel, Any]:
    """Model and tokenizer as transformers reads them, after the checks."""
    architecture = field(reader, "general.architecture")
    # Some share their architecture's name with dense models, as Mixtral does with Llama.
    experts = field(reader, f"{architecture}.expert_count", 0)
    if isinstance(experts, int) and experts > 0:
        raise mixture_of_experts(f"{path}, of the architecture {architecture!r},", experts)
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        with quiet():
            config = AutoConfig.from_pretrained(**source)
    except (ValueError, KeyError) as error:
        raise _unknown(path, architecture) from error
    except Exception as error:  # what a stranger's metadata makes the library raise is of any kind
        raise _senseless(path, architecture, error) from error
    if config.model_type not in FAMILIES:
        raise _unknown(path, architecture)
    try:
        with quiet(), redirect_stderr(StringIO()):  # the bar of the dequantisation knows no switch
            check_counts(config.to_dict(), len(reader.tensors))
            check_size(config, sum(int(tensor.n_elements) for tensor in reader.tensors))
            loaded: Any = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, output_loading_info=True)
            tokenizer = tokenized_as_llama_cpp(AutoTokenizer.from_pretrained(**source), reader)
    except UnsupportedModel:
        raise
    except Exception as error:  # as above
        raise _senseless(path, architecture, error) from error
    model: PreTrainedModel = loaded[0]
    _check_complete(path, reader, model, loaded[1])
    rope = rope_parameters(path, reader)
    if rope is not None:
        model.config.rope_parameters = rope
    share = rotary_share(reader, model.config)
    if share is not None:
        model.config.rope_parameters["partial_rotary_factor"] = share
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:  # the weights are dequantised; without this the model counts as quantised
        quantizer.remove_quantization_config(model)
    if hasattr(model.config, "_model_name_or_path"):  # the file's title, which is no place to load from
        del model.config._model_name_or_path
    anatomy_of(model)
    return model, tokenizer


def _check_complete(path: Path, reader: Any, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Every number of the file has its place in the model, and every parameter of the model comes from the file."""
    absent = sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"])
    if absent:
        raise UnsupportedModel(
            f"{path} lacks {len(absent)} tensors that its architecture has: {', '.join(absent[:3])}"
        )
    in_file = sum(int(t.n_elements) for t in reader.tensors if t.name not in ROPE_FREQUENCIES)
    in_model = sum(parameter.numel() for parameter in model.parameters())
    if in_file != in_model:
        raise UnsupportedModel(
            f"{path} holds {in_file:,} numbers, the {model.config.model_type} model that transformers makes of it "
            f"{in_model:,}: it is a variant with parts that would be lost. Use the model's own folder from the hub."
        )


def _unknown(path: Path, architecture: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"{path} is of the architecture {architecture!r}, which cannot be edited from a GGUF file; those "
        f"that can are among {', '.join(FAMILIES)}. If the hub has it as safetensors, give its folder or hub id."
    )


def _senseless(path: Path, architecture: str, error: Exception) -> UnsupportedModel:
    reason = sentence(str(error) or type(error).__name__)
    return UnsupportedModel(
        f"{path} cannot be read as a {architecture} model: {reason} Its metadata may be damaged; fetch the "
        "file again, or use the model's own folder from the hub"
    )
