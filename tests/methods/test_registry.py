"""The table of methods, and what one word of the command line makes of a method and the model's preset."""

from __future__ import annotations

import pytest

from kgedit.errors import KgeditError, SettingError, UnknownMethod
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.registry import (
    METHODS,
    load_method,
    method_for,
    method_names,
    parse_variant,
    settings_for,
    split_variants,
)
from kgedit.methods.settings import MethodSettings


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("rome", ("rome", {})),
        ("rome:key=original", ("rome", {"key": "original"})),
        ("rome:layer=3:steps=7", ("rome", {"layer": 3, "steps": 7})),
        ("memit:layers=1+2", ("memit", {"layers": (1, 2)})),
        ("glame:encoder=mlp", ("glame", {"encoder": "mlp"})),
        ("glame:free_offset=false:learning_rate=1e-2", ("glame", {"free_offset": False, "learning_rate": 0.01})),
        ("glame:paper", ("glame", {"paper": "paper"})),
        ("glame:paper-mquake", ("glame", {"paper": "paper-mquake"})),
        ("rome:paper", ("rome", {"paper": "paper"})),
        ("glame:paper:encoder=none", ("glame", {"paper": "paper", "encoder": "none"})),
        ("rome:ending=.", ("rome", {"ending": "."})),
        ("finetune-adapter:modules=q_proj+v_proj", ("finetune-adapter", {"modules": ("q_proj", "v_proj")})),
        ("finetune-adapter:modules=.+down_proj", ("finetune-adapter", {"modules": ".+down_proj"})),
        ("finetune-adapter:modules=all-linear", ("finetune-adapter", {"modules": "all-linear"})),
        ("glame:later_layers=none:gate=none", ("glame", {"later_layers": (), "gate": None})),
    ],
)
def test_a_variant_is_a_name_and_typed_settings(variant, expected) -> None:
    assert parse_variant(variant) == expected


@pytest.mark.parametrize("name", METHODS)
def test_no_method_gives_a_setting_of_all_methods_another_meaning(name) -> None:
    """GLAME had a `gate` of its own, a share of a norm; the gate of all methods then took it for a cosine."""
    own = load_method(name).Config.model_fields
    for field, shared in MethodSettings.model_fields.items():
        assert (own[field].annotation, own[field].description) == (shared.annotation, shared.description)
    assert own["gate"].default is None


@pytest.mark.parametrize(
    ("variant", "error", "message"),
    [
        ("", UnknownMethod, "no method ''"),
        ("nobody:steps=2", UnknownMethod, "no method 'nobody'.*rome"),
        ("rome:kee=original", SettingError, "'kee'.*did you mean 'key'.*layer, "),
        ("rome:key", SettingError, "'key' no value; write rome:key=VALUE"),
        ("rome:key=best", SettingError, "key to 'best'.*'averaged' or 'original'"),
        ("rome:steps=0", SettingError, "steps to '0'.*greater than or equal to 1"),
        ("rome:steps=many", SettingError, "steps to 'many'.*integer"),
        ("memit:layers=", SettingError, "layers to ''"),
        ("memit:layers=none", SettingError, "layers to 'none'.*at least 1 item"),
        ("rome:steps=none", SettingError, "steps to 'none'.*integer"),
        ("rome:steps=2:steps=3", SettingError, "'steps' twice"),
        ("rome:", SettingError, "sets ''"),
        ("rome:paper-mquake", SettingError, "did you mean 'paper-glame'"),
        ("glame:paper:paper-mquake", SettingError, "two published settings"),
        ("rome:prefixes=5-10", SettingError, "prefixes to '5-10'.*pattern"),
    ],
)
def test_what_means_nothing_is_refused_with_what_there_is(variant, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_variant(variant)
    assert isinstance(caught.value, KgeditError)


def test_settings_override_the_preset_and_the_rest_of_it_stays() -> None:
    method, notes = method_for("gpt2-xl", "rome:key=original", 48)
    assert (method.name, method.config.key, method.config.layer, notes) == ("rome", "original", 17, ())
    mini, _ = method_for("mini", "glame:encoder=gnn", 6)
    expected = settings_for("mini", "glame", 6)[0] | {"encoder": "gnn"}
    assert mini.config == GlameConfig.model_validate(expected)


def test_a_guess_is_said_to_be_one() -> None:
    method, notes = method_for("someone/unheard-of", "glame:steps=3", 30)
    assert (method.config.layers, method.config.steps) == ((6,), 3)
    assert "layers [6], repr_layer 4 is a guess from its depth of 30 blocks" in notes[0]


def test_paper_is_the_published_behaviour_at_the_presets_layers() -> None:
    assert method_for("gpt2-xl", "glame:paper", 48)[0].config == GlameConfig.paper()
    gptj = method_for("gpt-j-6b", "glame:paper", 28)[0].config
    assert gptj == GlameConfig.paper(layers=(5,), repr_layer=2, max_edges=35, steps=35, dropout=0.15)
    mini = method_for("mini", "glame:paper", 6)[0].config
    assert (mini.optimizer, mini.gated, mini.choice) == ("adamw", False, "last unless worse")
    assert (len(mini.layers), mini.free_offset, mini.path_weight, mini.keep_weight) == (1, False, 0.0, 0.0)
    assert (mini.key, mini.encoder, mini.extra_steps) == ("original", "rgnn", 0)
    unknown = method_for("someone/unheard-of", "glame:paper", 30)[0].config
    assert unknown == GlameConfig.paper(layers=(6,), repr_layer=4)


def test_paper_of_rome_is_the_published_mixture_of_keys_and_its_solve_without_a_ridge() -> None:
    config = method_for("mini", "rome:paper", 6)[0].config
    own = method_for("mini", "rome", 6)[0].config
    assert config == own.model_copy(update={"key": "original", "moment_ridge": 0.0, "prefix_seeds": "begin"})


def test_locft_as_published_asks_the_edit_prompts_alone_in_each_of_its_variants() -> None:
    for word, changed in {
        "paper": {}, "aug": {"prefixes": 5}, "token-mean": {"mean": "token"}, "depth-first": {"order": "depth-first"}
    }.items():  # fmt: skip
        config = method_for("mini", f"locft:{word}", 6)[0].config
        plain = {
            "wordings": 0,
            "rehearsed": 0.0,
            "inverse": False,
            "prefixes": 0,
            "mean": "text",
            "order": "breadth-first",
        }
        assert {name: getattr(config, name) for name in plain} == plain | changed
        assert (config.layer, config.learning_rate, config.end_of_text) == (3, 2e-3, True)


def test_changes_override_the_preset_and_the_variant_overrides_both() -> None:
    config = method_for("mini", "rome:steps=5", 6, {"steps": 7, "clamp": 2.0})[0].config
    assert (config.steps, config.clamp, config.layer) == (5, 2.0, 1)
    with pytest.raises(SettingError, match="Extra inputs"):
        method_for("mini", "rome", 6, {"clam": 2.0})


def test_settings_that_do_not_fit_together() -> None:
    with pytest.raises(SettingError, match="ascending and distinct"):
        method_for("mini", "memit:layers=2+1", 6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_by_its_name_alone_is_its_preset(name) -> None:
    method, _ = method_for("mini", name, 6)
    assert method.name == name
    assert method.config == type(method.config).model_validate(settings_for("mini", name, 6)[0])


@pytest.mark.parametrize("name", ["ft", "locft", "kn", "grace", "horen", "memoe", "ike", "mend", "finetune-adapter"])
def test_what_acts_elsewhere_than_at_the_subject_takes_no_gate(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} takes no gate"):
        method_for("mini", f"{name}:gate=0.9", 6)
    assert method_for("mini", "memit:gate=0.9", 6)[0].config.gate == 0.9


def test_a_method_of_another_name() -> None:
    with pytest.raises(UnknownMethod, match="no method 'nobody'.*rome.*glame"):
        load_method("nobody")
    assert set(METHODS) <= set(method_names())


def test_a_list_of_variants_may_hold_lists_of_layers() -> None:
    assert split_variants("rome, memit:layers=1,2,3:steps=4,glame:layers=1-2,4") == [
        "rome", "memit:layers=1+2+3:steps=4", "glame:layers=1-2+4",
    ]  # fmt: skip
