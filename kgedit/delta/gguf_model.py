"""The edited model as a GGUF file: the base model's own file with the delta added, in half precision or 8 bits.

Everything but the weights (tokenizer, chat template, settings) is copied from the base file as it is. Matrices that
are quantised there are dequantised first; vectors stay in float32, as llama.cpp wants them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from kgedit.delta.facts import facts_changed
from kgedit.delta.gguf_lora import TensorNames
from kgedit.delta.low_rank import LowRankDelta
from kgedit.errors import WrongBase
from kgedit.io.whole_file import whole_file
from kgedit.lm.sources.gguf_file import gguf_library, open_model
from kgedit.progress import Progress

Precision = Literal["f32", "f16", "q8_0"]
_TITLES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}
_OF_THE_FILE = ("general.architecture", "general.file_type", "general.quantization_version")


def export_gguf_model(
    delta: LowRankDelta | None,
    base: str | Path,
    path: str | Path,
    *,
    precision: Precision = "f16",
    config: Any = None,
    progress: Progress | None = None,
) -> Path:
    """Write base and delta as one GGUF file.

    Args:
        delta: What to add; None writes the base itself in another precision.
        base: The GGUF file that the model was loaded from.
        path: File to write; one that is there is replaced.
        precision: Of the matrices; rows that 8-bit blocks of 32 do not fit are kept in half precision.
        config: The model's config; with a delta only.
        progress: Called with (what, tensors done, in all).

    Returns:
        The file.

    Raises:
        UnsupportedExport: See `gguf_lora.export_gguf_lora`.
        WrongBase: A matrix of the base has another shape than the delta's, or is not there.
        FileCorrupt, UnsupportedModel, MissingExtra: See `gguf_file.open_model`.
        SaveFailed: The file cannot be written; what was there before is there still.
    """
    library, reader, target = gguf_library(), open_model(Path(base)), Path(path)
    names = None if delta is None else TensorNames(library, config)
    updates = {} if delta is None or names is None else dict(map(names.placed, delta.updates))
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
    for name, update in updates.items():
        wanted = (update.right.shape[0], update.left.shape[0])
        if shapes.get(name) != wanted:
            raise WrongBase(f"{base} has {shapes.get(name)} at {name} where the delta changes a matrix of {wanted}")
    kinds = {tensor.name: _kind(library, precision, shapes[tensor.name]) for tensor in reader.tensors}
    with whole_file(target) as beside:
        writer = library.GGUFWriter(beside, reader.get_field("general.architecture").contents())
        _copy_metadata(library, reader, writer)
        writer.add_file_type(library.LlamaFileType[_TITLES[precision]])
        writer.add_quantization_version(library.GGML_QUANT_VERSION)
        if delta is not None:
            writer.add_string("kgedit.delta", delta.id)
            writer.add_array("kgedit.facts", facts_changed(delta))
        for name, kind in kinds.items():
            size, block = library.GGML_QUANT_SIZES[kind][1], library.GGML_QUANT_SIZES[kind][0]
            stored = (*shapes[name][:-1], shapes[name][-1] // block * size)
            dtype = {library.GGMLQuantizationType.F32: np.float32, library.GGMLQuantizationType.F16: np.float16}
            given = dtype.get(kind, np.uint8)
            shape = stored if given is np.uint8 else shapes[name]
            writer.add_tensor_info(name, shape, np.dtype(given), int(np.prod(stored)), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, tensor in enumerate(reader.tensors):
            if progress is not None:
                progress("Writing tensors", done, len(kinds))
            values = library.dequantize(tensor.data, tensor.tensor_type).reshape(shapes[tensor.name])
            if tensor.name in updates:
                values = values.astype(np.float32) + updates[tensor.name].dense().numpy()  # (d_out, d_in)
            writer.write_tensor_data(library.quantize(values.astype(np.float32), kinds[tensor.name]))
        writer.close()
    return target


def _kind(library: Any, precision: Precision, shape: tuple[int, ...]) -> Any:
    kinds = library.GGMLQuantizationType
    if len(shape) < 2 or precision == "f32":
        return kinds.F32
    fits = shape[-1] % library.GGML_QUANT_SIZES[kinds.Q8_0][0] == 0
    return kinds.Q8_0 if precision == "q8_0" and fits else kinds.F16


def _copy_metadata(library: Any, reader: Any, writer: Any) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in _OF_THE_FILE:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == library.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=inner)
