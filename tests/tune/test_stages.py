"""What is tried of a method's settings."""

from __future__ import annotations

import pytest

from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.memit import MemitConfig
from kgedit.methods.registry import METHODS, load_method
from kgedit.methods.rome import RomeConfig
from kgedit.methods.settings import MethodSettings
from kgedit.tune.stages import at_layer, bands, first_layers, later_choices, layers_between, scaled


def test_a_method_is_placed_at_a_layer_as_its_guess_would_place_it() -> None:
    assert at_layer(RomeConfig, 7) == {"layer": 7}
    assert at_layer(MemitConfig, 7) == {"layers": [3, 4, 5, 6, 7]}
    assert at_layer(GlameConfig, 7) == {"layers": [7], "repr_layer": 5}
    assert at_layer(GlameConfig, 0) == {"layers": [0], "repr_layer": 0}


@pytest.mark.parametrize("name", [name for name in METHODS if load_method(name).Config.guess(30)])
def test_every_method_is_placed_where_it_was_told_to_be(name: str) -> None:
    """Wherever it would be guessed to be: the layer, or the last of its layers, is the one that is tried."""
    kind = load_method(name).Config
    for layer in (0, 1, 7):
        changes = at_layer(kind, layer)
        assert changes.get("layer", changes.get("layers", [None])[-1]) == layer
        kind.model_validate(kind.guess(30) | dict(changes))


def test_layers_are_spread_then_halved_towards_the_best() -> None:
    assert first_layers(30) == [2, 3, 6, 9, 12, 16]
    assert first_layers(2) == [0, 1]
    assert layers_between(6, {2, 3, 6, 9, 12, 16}, 30) == [4, 7]
    assert layers_between(6, {5, 6, 7}, 30) == []
    assert layers_between(29, {16, 29}, 30) == [22]


def test_bands_end_at_the_same_layer() -> None:
    settings = MemitConfig(layers=(0, 1, 2))
    assert [changes["layers"] for changes in bands(settings)] == [[2]]
    assert [changes["layers"] for changes in bands(GlameConfig(layers=(6,), repr_layer=4))] == [
        [4, 5, 6],
        [2, 3, 4, 5, 6],
    ]
    assert list(bands(RomeConfig(layer=3))) == []


def test_later_layers_come_in_pairs_above_the_first_edited_one_for_methods_that_have_such() -> None:
    def pairs(settings: MethodSettings, depth: int) -> list[tuple[int, ...]]:
        return [changes["later_layers"] for changes in later_choices(settings, depth)]

    assert pairs(GlameConfig(layers=(1,), repr_layer=1), 30) == [(15, 16), (18, 19), (21, 22), (24, 25)]
    assert pairs(GlameConfig(layers=(0, 1, 2, 3, 4), repr_layer=1), 6) == [(3, 4), (4, 5)]
    assert pairs(GlameConfig(layers=(20,), repr_layer=18), 30) == [(21, 22), (24, 25)]
    assert pairs(RomeConfig(layer=3), 30) == []
    # Behind a gate nothing is written to later layers, so that all pairs would edit alike.
    assert pairs(GlameConfig(layers=(1,), repr_layer=1, gate=0.8), 30) == []


def test_settings_are_scaled_in_their_own_kind_of_number() -> None:
    settings = RomeConfig(layer=3)
    assert scaled(settings, "clamp", 0.5) == {"clamp": 2.0}
    assert scaled(settings, "steps", 1.5) == {"steps": 30}
    assert scaled(settings, "kl_weight", 0.0) == {"kl_weight": 0.0}
    assert scaled(MemitConfig(layers=(1,)), "moment_weight", 0.3) == {"moment_weight": 6000.0}
