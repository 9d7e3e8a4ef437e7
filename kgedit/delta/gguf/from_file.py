"""The edited model as a GGUF file: the base model's own file with the delta added, in half precision or 8 bits.

Everything but the weights (tokenizer, chat template, settings) is copied from the base file as it is. Matrices that
are quantised there are dequantised first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kgedit.delta.gguf.about import describe_delta
from kgedit.delta.gguf.names import TensorNames
from kgedit.delta.gguf.writing import Array, Precision, write_model
from kgedit.delta.low_rank import LowRankDelta
from kgedit.errors import WrongBase
from kgedit.lm.sources.gguf_file import field, gguf_library, open_model
from kgedit.progress import Progress

_OF_THE_FILE = ("general.architecture", "general.file_type", "general.quantization_version")


def gguf_from_file(
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
        precision: See `writing.write_model`.
        config: The model's config; with a delta only.
        progress: Called with (what, tensors done, in all).

    Returns:
        The file.

    Raises:
        UnsupportedExport: See `lora.export_gguf_lora`.
        WrongBase: A matrix of the base has another shape than the delta's, or is not there.
        FileCorrupt, UnsupportedModel, MissingExtra: See `gguf_file.open_model`.
        SaveFailed: The file cannot be written; what was there before is there still.
    """
    library, reader = gguf_library(), open_model(Path(base))
    names = None if delta is None else TensorNames(library, config)
    updates = {} if delta is None or names is None else dict(map(names.placed, delta.updates))
    shapes = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
    for name, update in updates.items():
        wanted = (update.right.shape[0], update.left.shape[0])
        if shapes.get(name) != wanted:
            raise WrongBase(f"{base} has {shapes.get(name)} at {name} where the delta changes a matrix of {wanted}")

    def tensors() -> Iterator[tuple[str, Array]]:
        for tensor in reader.tensors:
            values = library.dequantize(tensor.data, tensor.tensor_type).reshape(shapes[tensor.name])
            if tensor.name in updates:
                values = values.astype(np.float32) + updates[tensor.name].dense().numpy()  # (d_out, d_in)
            yield tensor.name, values

    def describe(writer: Any) -> None:
        _copy_metadata(library, reader, writer)
        if delta is not None:
            describe_delta(writer, delta)

    architecture = field(reader, "general.architecture")
    return write_model(
        Path(path), architecture, shapes, tensors(), precision=precision, describe=describe, progress=progress
    )


def _copy_metadata(library: Any, reader: Any, writer: Any) -> None:
    for name, held in reader.fields.items():
        if name.startswith("GGUF.") or name in _OF_THE_FILE:
            continue
        kind = held.types[0]
        inner = held.types[-1] if kind == library.GGUFValueType.ARRAY else None
        writer.add_key_value(name, held.contents(), kind, sub_type=inner)
