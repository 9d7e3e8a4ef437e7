"""Finds the second moments of the edit layers: in a folder, in the cache, by collecting them, or as the identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import MomentError
from kgedit.lm.second_moment.collect import collect, weights_keys
from kgedit.lm.second_moment.files import load_moment, moment_file, save_moment
from kgedit.lm.second_moment.matrix import SecondMoment

MomentSource = Literal["auto", "identity"] | str | Path

IDENTITY_NOTE = (
    "no second moments for this model: the identity stands in for C, which harms facts with similar keys more; "
    "collect them once with `kgedit moments`"
)


class IdentityMoment:
    """The identity in place of C, where there are no statistics."""

    def solve(self, keys: Tensor) -> Tensor:
        """The keys themselves, (n, d_ff) float64."""
        return keys.to(torch.float64)


def check_layers(folder: Path, layers: Sequence[int]) -> None:
    """Refuse a folder that lacks the statistics of a layer.

    Raises:
        MomentError: It does.
    """
    missing = [layer for layer in layers if not moment_file(folder, layer).exists()]
    if missing:
        named = ",".join(map(str, missing))
        raise MomentError(
            f"{folder} has no statistics of layers {missing}; collect them with `kgedit moments --layers {named}`"
        )


def find_moments(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    layers: Sequence[int],
    *,
    source: MomentSource,
    cache_dir: Path,
    texts: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[int, SecondMoment] | dict[int, IdentityMoment], tuple[str, ...]]:
    """The second moments of some layers, and what the user should know about them.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        layers: Edit layers.
        source: "identity"; the path of a folder that `kgedit moments` wrote; or "auto": the cache, else collected
            from `texts` where there are any, else the identity with a note.
        cache_dir: Folder of the cache.
        texts: What to collect from; part of the cache's key.
        progress: Called with the numbers of texts and tokens while collecting.

    Raises:
        MomentError: The folder lacks a layer.
        MomentMismatch: Its statistics are of other weights.
        FileCorrupt: A file in it is damaged.
    """
    if source == "identity":
        return {layer: IdentityMoment() for layer in layers}, ("C = I was asked for: no second moments are used",)
    weights = weights_keys(model, layers)
    if source != "auto":
        folder = Path(source)
        check_layers(folder, layers)
        return {layer: load_moment(moment_file(folder, layer), weights=weights[layer]) for layer in layers}, ()
    corpus = hashlib.sha256("\n".join(texts or ()).encode()).hexdigest()[:12] if texts else "user"
    folders = {layer: cache_dir / "moments" / f"{weights[layer][:16]}-{corpus}" for layer in layers}
    missing = [layer for layer in layers if not moment_file(folders[layer], layer).exists()]
    if missing and not texts:
        return {layer: IdentityMoment() for layer in layers}, (IDENTITY_NOTE,)
    if missing and texts:
        for layer, moment in collect(model, tokenizer, texts, missing, progress=progress).items():
            save_moment(moment, moment_file(folders[layer], layer))
    return {layer: load_moment(moment_file(folders[layer], layer), weights=weights[layer]) for layer in layers}, ()
