"""Presets: every table is valid settings of its method, and a guess is called a guess."""

from __future__ import annotations

from importlib import resources

import pytest

from kgedit.methods.registry import METHODS, load_method, settings_for
from kgedit.presets import prefix_lengths

MODELS = sorted(
    file.name.removesuffix(".toml")
    for file in resources.files("kgedit.presets").iterdir()
    if file.name.endswith(".toml")
)
LAYERS = {"gpt2-xl": 48, "gpt-j-6b": 28}


def layers_of(settings) -> list[int]:
    """The edited layers, if the settings name any."""
    fields = settings.model_dump()
    return list(fields.get("layers") or [fields[name] for name in ("layer",) if name in fields])


@pytest.mark.parametrize("n_layers", [1, 2, 6, 12, 48])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [*MODELS, "someone/unheard-of"])
def test_every_method_gets_valid_settings_for_every_model(model, method, n_layers) -> None:
    fields, notes = settings_for(model, method, n_layers)
    settings = load_method(method).Config.model_validate(fields)
    if notes:
        assert "guess" in notes[0]
        layers = layers_of(settings)
        assert all(0 <= layer < n_layers for layer in layers)
        assert getattr(settings, "repr_layer", 0) < n_layers


def test_presets_of_known_models_fit_them_and_are_not_guesses() -> None:
    assert set(LAYERS) < set(MODELS)
    for model, n_layers in LAYERS.items():
        for method in METHODS:
            fields, notes = settings_for(model, method, n_layers)
            assert notes == ()
            settings = load_method(method).Config.model_validate(fields)
            assert max(layers_of(settings), default=0) < n_layers


def test_published_layers() -> None:
    assert settings_for("gpt2-xl", "rome", 48)[0]["layer"] == 17
    assert settings_for("gpt-j-6b", "rome", 28)[0]["layer"] == 5
    assert [settings_for("gpt2-xl", name, 48)[0] for name in ("ft", "ft-l")] == [
        {"layer": 1},
        {"layer": 0, "epsilon": 5e-4},
    ]
    assert [settings_for("gpt-j-6b", name, 28)[0] for name in ("ft", "ft-l")] == [
        {"layer": 21},
        {"layer": 0, "epsilon": 5e-5},
    ]
    glame = settings_for("gpt2-xl", "glame", 48)[0]
    assert (glame["layers"], glame["repr_layer"], glame["max_edges"]) == ([9], 5, 20)


@pytest.mark.parametrize("name", ["gpt2-xl", "openai-community/gpt2-xl", "/models/GPT2-XL/", "EleutherAI/gpt-j-6B"])
def test_a_model_is_known_by_the_last_part_of_its_name(name) -> None:
    assert settings_for(name, "rome", 48)[1] == ()


@pytest.mark.parametrize("name", ["", "/", "..", "__init__", "no such/model"])
def test_other_names_are_guessed_by_depth(name) -> None:
    fields, notes = settings_for(name, "rome", 30)
    assert fields == {"layer": 6}
    assert "layer 6 is a guess from its depth of 30 blocks" in notes[0]


def test_prefixes_are_romes_unless_the_preset_says_otherwise() -> None:
    assert prefix_lengths("someone/unheard-of") == ((5, 10), (10, 10))
    for model in MODELS:
        assert all(length > 0 and count > 0 for length, count in prefix_lengths(model))
