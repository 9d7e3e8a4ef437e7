"""An edited model that did not come from a GGUF file, as one: every parameter, the settings and the tokenizer.

One tensor at a time is copied, put into llama.cpp's order of rows and written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from kgedit.delta.gguf.about import describe_base, describe_delta
from kgedit.delta.gguf.families import GGUF_FAMILIES, GgufFamily
from kgedit.delta.gguf.hyper_parameters import add_hyper_parameters, check_computable, frequency_divisors
from kgedit.delta.gguf.names import TensorNames
from kgedit.delta.gguf.vocabulary import vocabulary_of
from kgedit.delta.gguf.writing import Array, Precision, write_model
from kgedit.delta.low_rank import LowRankDelta
from kgedit.delta.weights import hash_weights, parent_module
from kgedit.errors import UnsupportedExport
from kgedit.lm.sources.gguf_file import gguf_library
from kgedit.progress import Progress


def gguf_from_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: str | Path,
    *,
    delta: LowRankDelta | None = None,
    precision: Precision = "f16",
    progress: Progress | None = None,
) -> Path:
    """Write a model as it stands, with the edits that are applied to it, as one GGUF file.

    Args:
        model: The edited model; any that was loaded from a folder or the hub.
        tokenizer: Its tokenizer.
        path: File to write; one that is there is replaced.
        delta: The edits that are applied, for the file to name them; None where there are none.
        precision: See `writing.write_model`.
        progress: Called with (what, tensors done, in all).

    Returns:
        The file.

    Raises:
        UnsupportedExport: The family, one of its settings or the tokenizer is none that is known to give the same
            results in llama.cpp; or the delta is not applied to the model.
        SaveFailed: The file cannot be written; what was there before is there still.
        MissingExtra: The package `gguf` is not installed.
    """
    library = gguf_library()
    names = TensorNames(library, model.config) if model.config.model_type in GGUF_FAMILIES else None
    if names is None or names.row is None:
        raise _not_covered(library, model.config)
    if delta is not None and hash_weights(model, delta.names) == delta.base_hash:
        raise UnsupportedExport("the edits that are to be exported are not applied to the model; apply them first")
    row = names.row
    check_computable(model.config, row)
    vocabulary = vocabulary_of(tokenizer, model.config)
    divisors = frequency_divisors(model.config)
    placed = {parameter: _found(names, parameter) for parameter, _ in model.named_parameters()}
    shapes = {name: _shape(model, parameter) for parameter, (_, name) in placed.items()}
    if divisors is not None:
        shapes[_ROPE_FREQUENCIES] = tuple(divisors.shape)

    def tensors() -> Iterator[tuple[str, Array]]:
        for parameter, (kind, name) in placed.items():
            yield name, _values(model, parameter, kind, names, row).numpy()
        if divisors is not None:
            yield _ROPE_FREQUENCIES, divisors.numpy()

    def describe(writer: Any) -> None:
        writer.add_type(library.GGUFType.MODEL)
        writer.add_name(describe_base(writer, model))
        if delta is not None:
            describe_delta(writer, delta)
        add_hyper_parameters(library, writer, model, row)
        vocabulary.add_to(writer)

    return write_model(
        Path(path), names.architecture, shapes, tensors(), precision=precision, describe=describe, progress=progress
    )


_ROPE_FREQUENCIES = "rope_freqs.weight"


def _found(names: TensorNames, parameter: str) -> tuple[str, str]:
    kind, name = names.find(parameter)
    if not name:
        raise UnsupportedExport(
            f"llama.cpp has no place for {parameter} in a {names.architecture} model, so it would compute something "
            "else; export a checkpoint or a PEFT adapter instead"
        )
    return kind, name


def _is_transposed(model: PreTrainedModel, parameter: str) -> bool:
    return parameter.endswith(".weight") and isinstance(parent_module(model, parameter), Conv1D)


def _shape(model: PreTrainedModel, parameter: str) -> tuple[int, ...]:
    shape = tuple(model.get_parameter(parameter).shape)
    return shape[::-1] if _is_transposed(model, parameter) else shape


def _values(model: PreTrainedModel, parameter: str, kind: str, names: TensorNames, row: GgufFamily) -> Tensor:
    """A parameter in float32 as llama.cpp has it: a matrix as (d_out, d_in), its rows in llama.cpp's order."""
    values = model.get_parameter(parameter).detach().to("cpu", torch.float32)
    if _is_transposed(model, parameter):
        values = values.T.contiguous()
    order = names.order(kind, values.shape[0])
    if row.norm_offset and kind.endswith("NORM") and parameter.endswith(".weight"):
        values = values + row.norm_offset
    return values if order is None else values[order]


def _not_covered(library: Any, config: Any) -> UnsupportedExport:
    try:
        TensorNames(library, config)
        instead = "`kgedit export gguf-lora` writes an adapter for a GGUF file that you have; a PEFT adapter, too,"
    except UnsupportedExport:
        instead = "a PEFT adapter"
    return UnsupportedExport(
        f"a model of the family {config.model_type!r} is written as a GGUF file only where it came from one; from "
        f"other files those of the families {', '.join(GGUF_FAMILIES)} are. For this one {instead} can be exported"
    )
