"""What is tried of a method's settings, and in which order: its layer first, then one setting after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from kgedit.methods.settings import MethodSettings

Changes = Mapping[str, Any]

# Shares of the depth at which a layer is tried first; published edit layers lie between 0.15 and 0.4.
_DEPTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.55)
_LATER_DEPTHS = (0.5, 0.6, 0.7, 0.8)  # at which a pair of later layers is tried
_SIBLINGS = 16
_BANDS = (1, 3, 5)  # numbers of layers, where a method takes several

# Setting -> factors that are tried, each again as long as it helps. 0 leaves a term out.
FACTORS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "moment_weight": (0.3, 0.1, 3.0),
        "clamp": (2.0, 0.5),
        "kl_weight": (0.0, 4.0),
        "weight_decay": (0.0,),
        "keep_weight": (0.0, 2.0),
        "path_weight": (0.0,),
        "ridge": (4.0, 0.25),
        "steps": (1.5,),
    }
)
AGAIN = 3  # times that a factor is tried at most
_DEEP = 100  # blocks of a model in which every method finds room for all the layers that it takes


def at_layer(kind: type[MethodSettings], layer: int) -> Changes:
    """The settings that place a method at a layer: as many layers as it is guessed, which end there; or nothing."""
    guess = kind.guess(_DEEP)
    changes: dict[str, Any] = {}
    if "layer" in guess:
        changes["layer"] = layer
    if "layers" in guess:
        changes["layers"] = list(range(max(0, layer - len(guess["layers"]) + 1), layer + 1))
    if "repr_layer" in guess:
        changes["repr_layer"] = max(0, layer - (guess["layers"][-1] - guess["repr_layer"]))
    return changes


def changed(settings: MethodSettings, changes: Changes) -> MethodSettings:
    """The settings with some of them changed, checked anew."""
    return type(settings).model_validate(settings.model_dump() | dict(changes))


def first_layers(depth: int) -> list[int]:
    """The layers that are tried first, spread over the lower half of the model."""
    return sorted({min(depth - 1, round(share * depth)) for share in _DEPTHS})


def layers_between(best: int, tried: set[int], depth: int) -> list[int]:
    """The layers halfway between the best and its neighbours among those tried."""
    below = max((layer for layer in tried if layer < best), default=-1)
    above = min((layer for layer in tried if layer > best), default=depth)
    return [layer for layer in ((below + best) // 2, (best + above) // 2) if layer not in tried and 0 <= layer < depth]


def bands(settings: MethodSettings) -> Iterator[Changes]:
    """Other numbers of layers that end at the same one, for methods that take several."""
    layers: tuple[int, ...] = getattr(settings, "layers", ())
    for number in _BANDS if layers else ():
        last = layers[-1]
        band = list(range(max(0, last - number + 1), last + 1))
        if band != list(layers):
            yield {"layers": band}


def later_choices(settings: MethodSettings, depth: int) -> list[Changes]:
    """Pairs of later layers, above the first edited one, for methods that write to such; siblings are held beside."""
    # Behind a gate nothing is written to later layers, where it could never open.
    if not hasattr(settings, "later_layers") or settings.gate is not None:
        return []
    lowest = min(getattr(settings, "layers", ()), default=-1) + 1
    starts = sorted({round(share * depth) for share in _LATER_DEPTHS})
    pairs = [(layer, layer + 1) for layer in starts if lowest <= layer and layer + 1 < depth]
    return [{"later_layers": pair, "later_siblings": _SIBLINGS} for pair in pairs]


def scaled(settings: MethodSettings, name: str, factor: float) -> Changes:
    """One setting multiplied; whole numbers stay whole."""
    value = getattr(settings, name)
    new = value * factor
    return {name: round(new) if isinstance(value, int) else float(f"{new:.4g}")}
