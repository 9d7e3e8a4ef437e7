"""The second moments of one model, each found or collected when it is first asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.second_moment.find import IdentityMoment, MomentSource, find_moments, missing_layers
from kgedit.lm.second_moment.matrix import LEAST_RIDGE, SecondMoment
from kgedit.progress import Progress


class MomentShelf:
    """Statistics of a model, layer by layer.

    Attributes:
        source: Where they come from, see `find.find_moments`; may be set until they are first asked for.
        notes: What the user should know about those that were asked for.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        source: MomentSource,
        cache_dir: Path,
        *,
        texts: Callable[[], Sequence[str]] | None = None,
        facts: Callable[[], Iterable[str]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Take the parts; nothing is read yet.

        Args:
            model: The model; unedited whenever statistics are asked for that are not here yet.
            tokenizer: Its tokenizer.
            source: See `find.find_moments`.
            cache_dir: Folder of the cache.
            texts: Gives sentences of the model's own training text, if they are known.
            facts: Gives passages of facts.
            progress: Called with (what, tokens, 0) while statistics are collected.
        """
        self.source = source
        self.notes: tuple[str, ...] = ()
        self._model, self._tokenizer, self._cache_dir = model, tokenizer, cache_dir
        self._texts, self._facts, self._progress = texts, facts, progress
        self._held: dict[int, SecondMoment | IdentityMoment] = {}
        self._with_ridge: dict[tuple[int, float], SecondMoment] = {}

    @property
    def origins(self) -> tuple[str, ...]:
        """What the statistics that are here are made from, in words."""
        layers_of: dict[str, list[str]] = {}
        for layer, held in sorted(self._held.items()):
            origin = "the identity matrix" if isinstance(held, IdentityMoment) else held.origin
            layers_of.setdefault(origin, []).append(str(layer))
        return tuple(f"second moments of layer {', '.join(layers)}: {origin}" for origin, layers in layers_of.items())

    def lacks(self, layers: Sequence[int]) -> bool:
        """Whether some of these are not here yet."""
        return any(layer not in self._held for layer in layers)

    def uncollected(self, layers: Sequence[int]) -> list[int]:
        """Layers for which the identity would stand in, since nothing was ever collected for them."""
        if self.source != "auto" or self._texts is not None:
            return []
        return missing_layers(self._model, [layer for layer in layers if layer not in self._held], self._cache_dir)

    def of(self, layers: Sequence[int], *, ridge: float = LEAST_RIDGE) -> dict[int, SecondMoment | IdentityMoment]:
        """The second moment of each layer, with the ridge that a method asks for (`SecondMoment.ridge`).

        Raises:
            MomentError, MomentMismatch, FileCorrupt: See `find.find_moments`.
        """
        progress = self._progress
        if not self.lacks(layers):
            return {layer: self._ridged(layer, ridge) for layer in layers}
        found, notes = find_moments(
            self._model,
            self._tokenizer,
            [layer for layer in layers if layer not in self._held],
            source=self.source,
            cache_dir=self._cache_dir,
            texts=self._texts() if self._texts and self.source in ("auto", "collect") else None,
            facts=self._facts,
            progress=(lambda texts, tokens: progress("second moments, tokens", tokens, 0)) if progress else None,
        )
        self._held |= found
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))
        return {layer: self._ridged(layer, ridge) for layer in layers}

    def _ridged(self, layer: int, ridge: float) -> SecondMoment | IdentityMoment:
        """One of these; made once, since it keeps the factor of its first solve."""
        held = self._held[layer]
        if isinstance(held, IdentityMoment) or held.ridge == ridge:
            return held
        return self._with_ridge.setdefault((layer, ridge), replace(held, ridge=ridge))
