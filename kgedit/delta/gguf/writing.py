"""Writes a GGUF file tensor by tensor, so that no more than one of them is in memory twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kgedit.io.whole_file import whole_file
from kgedit.lm.sources.gguf_file import gguf_library
from kgedit.progress import Progress

Array = np.ndarray[Any, Any]
Precision = Literal["f32", "f16", "q8_0"]
_TITLES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}


def write_model(
    target: Path,
    architecture: str,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Iterable[tuple[str, Array]],
    *,
    precision: Precision,
    describe: Callable[[Any], None],
    progress: Progress | None,
) -> Path:
    """Write a model as one GGUF file.

    Args:
        target: File to write; one that is there is replaced.
        architecture: `general.architecture`.
        shapes: Name -> shape of each tensor, rows first.
        tensors: The same names in the same order, with their values.
        precision: Of the matrices; rows that 8-bit blocks of 32 do not fit are kept in half precision. Vectors stay in
            float32, as llama.cpp wants them.
        describe: Called with the `gguf.GGUFWriter`, to add the other metadata.
        progress: Called with (what, tensors done, in all).

    Raises:
        SaveFailed: The file cannot be written; what was there before is there still.
    """
    library = gguf_library()
    kinds = {name: _kind(library, precision, shape) for name, shape in shapes.items()}
    with whole_file(target) as beside:
        writer = library.GGUFWriter(beside, architecture)
        describe(writer)
        writer.add_file_type(library.LlamaFileType[_TITLES[precision]])
        writer.add_quantization_version(library.GGML_QUANT_VERSION)
        for name, kind in kinds.items():
            _announce(library, writer, name, shapes[name], kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, (name, values) in enumerate(tensors):
            if progress is not None:
                progress("Writing tensors", done, len(kinds))
            writer.write_tensor_data(library.quantize(values.astype(np.float32, copy=False), kinds[name]))
        writer.close()
    return target


def _kind(library: Any, precision: Precision, shape: tuple[int, ...]) -> Any:
    kinds = library.GGMLQuantizationType
    if len(shape) < 2 or precision == "f32":
        return kinds.F32
    fits = shape[-1] % library.GGML_QUANT_SIZES[kinds.Q8_0][0] == 0
    return kinds.Q8_0 if precision == "q8_0" and fits else kinds.F16


def _announce(library: Any, writer: Any, name: str, shape: tuple[int, ...], kind: Any) -> None:
    """Shape, type and size of a tensor, which stand before all values."""
    block, size = library.GGML_QUANT_SIZES[kind]
    stored = (*shape[:-1], shape[-1] // block * size)  # in bytes along a row
    plain = {library.GGMLQuantizationType.F32: np.float32, library.GGMLQuantizationType.F16: np.float16}
    given = plain.get(kind, np.uint8)
    writer.add_tensor_info(
        name, stored if given is np.uint8 else shape, np.dtype(given), int(np.prod(stored)), raw_dtype=kind
    )
