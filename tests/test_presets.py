"""Presets: every table is valid settings of its method, and a guess is called a guess."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from kgedit.lm.prefixes import PrefixPlan
from kgedit.methods.registry import METHODS, load_method, method_for, settings_for
from kgedit.presets import table
from kgedit.tune.preset import write_preset

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


@pytest.mark.parametrize(
    ("config", "known"),
    [
        ('{"num_hidden_layers": 30, "hidden_size": 576}', True),
        ('{"num_hidden_layers": 24, "hidden_size": 2048}', False),
        ('{"num_hidden_layers": 30, "hidden_size": 960}', False),
        ("no json", True),
        ("[]", True),
    ],
)
def test_a_folder_of_a_presets_name_with_another_model_in_it_is_guessed(tmp_path, config, known) -> None:
    folder = tmp_path / "smollm2"
    folder.mkdir()
    (folder / "config.json").write_text(config)
    assert (settings_for(str(folder), "rome", 30)[1] == ()) is known


WORDS = ("The", "Therefore", "Because", "I", "You")


@pytest.mark.parametrize(
    ("variant", "groups", "seeds", "number"),
    [
        ("rome", ((5, 10), (10, 10)), (), 20),
        ("rome-kg", ((5, 10), (10, 10)), (), 20),
        ("memit", ((10, 5),), WORDS, 5),
        ("memit-kg", ((10, 5),), WORDS, 5),
        ("glame", ((5, 10), (10, 10), (20, 10)), (), 30),
    ],
)
@pytest.mark.parametrize("model", ["gpt2-xl", "gpt-j-6b"])
def test_each_method_has_its_own_published_prefixes(model, variant, groups, seeds, number) -> None:
    """ROME 20, seeded with the begin-of-text token; MEMIT 5 of 10 tokens; GLAME 30, ten of 20 tokens among them."""
    method, _ = method_for(model, variant, LAYERS[model])
    assert method.prefix_plan == PrefixPlan(groups, seeds)
    assert sum(count for _, count in groups) == number
    assert method.moment_ridge == 0
    assert method_for("someone/unheard-of", f"{variant}:paper", 30)[0].prefix_plan == method.prefix_plan


@pytest.mark.parametrize(
    ("model", "variant", "expected"),
    [
        ("gpt2-xl", "paper-cf-plus", (9, 5, "avg", 20, 35, 0.5, 0.4, 0.0725, 0.04, "5x15+10x15")),
        ("gpt2-xl", "paper-mquake", (9, 5, "composite_norm", 50, 50, 0.5, 0.3, 0.075, 0.005, "5x15+10x15")),
        ("gpt-j-6b", "paper-cf-plus", (5, 5, "avg", 45, 25, 0.5, 0.2, 0.075, 0.03, "5x10+10x10+20x10")),
        ("gpt-j-6b", "paper-mquake", (5, 2, "avg", 100, 25, 0.1, 0.4, 0.0725, 0.03, "5x10+10x10+20x10")),
    ],
)
def test_glame_has_settings_of_its_own_for_other_benchmarks(model, variant, expected) -> None:
    """Layer, layer of representations, pooling, edges, steps, decay, dropout, KL weight, stop, prefixes (released)."""
    found = method_for(model, f"glame:{variant}", LAYERS[model])[0].config
    names = "repr_layer pooling max_edges steps weight_decay dropout kl_weight stop_loss prefixes".split()
    assert (found.layers[0], *(getattr(found, name) for name in names)) == expected
    assert (found.learning_rate, found.clamp, found.prefix_seeds, found.edge_choice) == (0.5, 4.0, "begin", "first")


def test_the_baselines_of_glames_own_tables() -> None:
    found = {
        (model, name): method_for(model, f"{name}:paper-glame", LAYERS[model])[0].config.kl_weight
        for model in LAYERS
        for name in ("rome", "memit")
    }
    assert found == {
        ("gpt2-xl", "rome"): 1.0,
        ("gpt-j-6b", "rome"): 0.0625,
        ("gpt2-xl", "memit"): 0.0625,
        ("gpt-j-6b", "memit"): 1.0,
    }


def test_published_presets_are_the_released_arithmetic() -> None:
    for model in LAYERS:
        assert (
            method_for(model, "rome", LAYERS[model])[0].config
            == method_for(model, "rome:paper", LAYERS[model])[0].config
        )
        assert settings_for(model, "rome", LAYERS[model])[0]["key"] == "original"


def test_the_bundled_model_has_few_short_prefixes() -> None:
    for name in ("rome", "memit", "glame", "glame:paper", "glame:paper-mquake", "rome-kg", "memit-kg"):
        assert method_for("mini", name, 6)[0].prefix_plan.lengths_and_counts == ((4, 2), (9, 2))


def test_a_real_model_has_its_preset_whatever_it_is_called() -> None:
    wanted = table("smollm2", "rome")
    assert wanted
    for name in (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2-135M-Instruct-f16.gguf",
        "smollm2-135m-instruct-Q8_0.gguf",
    ):
        assert table(name, "rome") == wanted
    assert table("/models/SmolLM2-360M-Instruct.Q4_1.gguf", "rome") == {}


def test_what_was_tuned_for_one_folder_is_not_taken_for_another_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KGEDIT_CONFIG_DIR", str(tmp_path / "config"))
    one, two = (str(tmp_path / name / "checkpoint") for name in ("one", "two"))
    for folder in (one, two):
        Path(folder).mkdir(parents=True)
    write_preset(one, "rome", {"layer": 3}, {})
    assert table(one, "rome") == {"layer": 3}
    assert table(f"{one}/", "rome") == {"layer": 3}
    assert table(two, "rome") == {}
    # A file by the name alone, as one writes it by hand, holds for all that have none of their own.
    write_preset("checkpoint", "rome", {"layer": 5}, {})
    assert (table(one, "rome"), table(two, "rome"), table("someone/checkpoint", "rome")) == (
        {"layer": 3}, {"layer": 5}, {"layer": 5},
    )  # fmt: skip
