"""Finds the second moments of the edit layers: in a folder, in the cache, by collecting them, or as the identity.

In the cache each layer lies in a folder named by the weights that its keys depend on, so no other model's are found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import MomentError, MomentMismatch
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.second_moment.collect import collect, weights_keys
from kgedit.lm.second_moment.convergence import HalvesChange
from kgedit.lm.second_moment.files import load_moment, moment_file, save_moment
from kgedit.lm.second_moment.first_tokens import outlying_first_tokens
from kgedit.lm.second_moment.matrix import TOKENS_ADVISED, SecondMoment

MomentSource = Literal["auto", "collect", "identity"] | str | Path
MayCollect = Callable[[str, Sequence[int]], bool]
"""Called with a model's name and layers for which nothing was ever collected; whether that is to be done now."""

TOKENS_PER_DIMENSION = 60  # read of texts that are made for the purpose; see `convergence`


class IdentityMoment:
    """The identity in place of C, where there are no statistics."""

    def solve(self, keys: Tensor) -> Tensor:
        """The keys themselves, (n, d_ff) float64."""
        return keys.to(torch.float64)


def identity_note(model: PreTrainedModel) -> str:
    """What is said where nothing was collected; statistics go by the weights as loaded, so it names the precision."""
    precision = str(model.dtype).removeprefix("torch.")
    return (
        "no second moments were collected for this model in this precision, so the identity stands in for C, which "
        "harms facts with similar keys more; collect them once with "
        f"`kgedit moments --model MODEL --dtype {precision}`, or at the first edit with --moments collect"
    )


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


def check_same_texts(folder: Path, layers: Sequence[int], origin: Callable[[], str]) -> None:
    """Refuse to put the statistics of some layers beside those of others that come from other texts or settings.

    Args:
        folder: Where they are to be written.
        layers: Their blocks; what the folder has of these is replaced.
        origin: Gives their `SecondMoment.origin`; asked only if the folder has other layers.

    Raises:
        MomentMismatch: It has some of another origin.
        FileCorrupt: A file in it is damaged.
    """
    replaced = {moment_file(folder, layer) for layer in layers}
    others = [file for file in sorted(folder.glob("layer-*.safetensors")) if file not in replaced]
    wanted = origin() if others else ""
    for file in others:
        held = load_moment(file)
        if held.origin != wanted:
            raise MomentMismatch(
                f"{folder} holds layer {held.layer} over other texts or with other settings ({held.origin}; now "
                f"{wanted}), and statistics of several texts do not belong together; choose another folder, or "
                "collect all layers anew"
            )


def cached_file(cache_dir: Path, weights: str, layer: int, corpus: str = "user") -> Path:
    """Where the cache keeps the statistics of a layer.

    Args:
        cache_dir: Folder of the cache.
        weights: `weights_keys(model, [layer])[layer]`.
        layer: Block index.
        corpus: "user" for what `kgedit moments` collected last; else the key of a fixed text.
    """
    return moment_file(cache_dir / "moments" / f"{weights[:16]}-{corpus}", layer)


def missing_layers(model: PreTrainedModel, layers: Sequence[int], cache_dir: Path) -> list[int]:
    """Layers for which the cache has nothing that `kgedit moments` or an edit with "collect" left there."""
    weights = weights_keys(model, layers)
    return [layer for layer in layers if not cached_file(cache_dir, weights[layer], layer).exists()]


def enough_tokens(model: PreTrainedModel, layer: int) -> int:
    """How many tokens of texts made for the purpose are read for layers like this one."""
    anatomy = anatomy_of(model)
    return TOKENS_PER_DIMENSION * to_math(anatomy.weight(model, layer), anatomy.conv1d).shape[1]


def collect_into_cache(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Callable[[], Iterable[str]],
    layers: Sequence[int],
    cache_dir: Path,
    *,
    max_length: int = 1024,
    max_tokens: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_halves: Callable[[HalvesChange], None] | None = None,
) -> dict[int, SecondMoment]:
    """Collect statistics as the model's own, which "auto" finds from now on; outlying first tokens are left out.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        texts: Gives the texts; called twice.
        layers: Blocks whose keys are wanted.
        cache_dir: Folder of the cache.
        max_length: See `collect`.
        max_tokens: See `collect`.
        progress: See `collect`.
        on_halves: See `collect`.

    Raises:
        MomentError: See `collect`.
        SaveFailed: The cache folder is full or cannot be written.
    """
    weights = weights_keys(model, layers)
    collected = collect(
        model,
        tokenizer,
        texts(),
        layers,
        max_length=max_length,
        max_tokens=max_tokens,
        skip_first=outlying_first_tokens(model, tokenizer, texts(), layers).left_out,
        checkpoint_dir=cache_dir / "moments",
        progress=progress,
        on_halves=on_halves,
    )
    for layer, moment in collected.items():
        save_moment(moment, cached_file(cache_dir, weights[layer], layer))
    return collected


def find_moments(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    layers: Sequence[int],
    *,
    source: MomentSource,
    cache_dir: Path,
    texts: Sequence[str] | None = None,
    facts: Callable[[], Iterable[str]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[int, SecondMoment] | dict[int, IdentityMoment], tuple[str, ...]]:
    """The second moments of some layers, and what the user should know about them.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        layers: Edit layers.
        source: "identity"; the path of a folder that `kgedit moments` wrote; "auto": the cache, else collected from
            `texts` where there are any, else the identity with a note; or "collect": the cache, else collected from
            `texts` or `facts`.
        cache_dir: Folder of the cache.
        texts: What to collect from; part of the cache's key.
        facts: Gives texts to collect from for "collect".
        progress: Called with the numbers of texts and tokens while collecting.

    Raises:
        MomentError: The folder lacks a layer.
        MomentMismatch: Its statistics are of other weights.
        FileCorrupt: A file in it is damaged.
    """
    if not layers:
        return {}, ()
    if source == "identity":
        return {layer: IdentityMoment() for layer in layers}, ("C = I was asked for: no second moments are used",)
    weights = weights_keys(model, layers)
    if source not in ("auto", "collect"):
        folder = Path(source)
        check_layers(folder, layers)
        files = {layer: moment_file(folder, layer) for layer in layers}
    else:
        corpus = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12] if texts else "user"
        files = {layer: cached_file(cache_dir, weights[layer], layer, corpus) for layer in layers}
        missing = [layer for layer in layers if not files[layer].exists()]
        if missing and texts:
            for layer, moment in collect(model, tokenizer, texts, missing, progress=progress).items():
                save_moment(moment, files[layer])
        elif missing and source == "collect" and facts is not None:
            limit = enough_tokens(model, missing[0])
            collect_into_cache(model, tokenizer, facts, missing, cache_dir, max_tokens=limit, progress=progress)
        elif missing:
            return {layer: IdentityMoment() for layer in layers}, (identity_note(model),)
    moments = {layer: load_moment(files[layer], weights=weights[layer]) for layer in layers}
    return moments, (*too_few_tokens(moments), *mixture(moments))


def too_few_tokens(moments: Mapping[int, SecondMoment]) -> tuple[str, ...]:
    """A note where statistics rest on too little text to tell which keys are dear."""
    weak = {layer: moment for layer, moment in moments.items() if moment.count < moment.advised}
    if not weak:
        return ()
    fewest = min(weak.values(), key=lambda moment: moment.count / moment.advised)
    return (
        f"the second moments of layers {sorted(weak)} rest on {fewest.count:,} tokens, where {fewest.advised:,} or "
        f"more ({TOKENS_ADVISED} a dimension of the key) are advised: unrelated facts are harmed more, and how "
        "strongly an edit is written is chance; collect them from more text with `kgedit moments`",
    )


def mixture(moments: Mapping[int, SecondMoment]) -> tuple[str, ...]:
    """A note where the statistics of some layers come from other texts, or other settings, than those of others."""
    layers_of: dict[str, list[int]] = {}
    for layer, moment in moments.items():
        layers_of.setdefault(moment.origin, []).append(layer)
    if len(layers_of) < 2:
        return ()
    told = "; ".join(f"layers {layers}: {origin}" for origin, layers in layers_of.items())
    return (f"the second moments are of different texts or settings ({told}); collect them anew from one text",)
