"""The table of editing methods, and how one word of the command line names a method with its settings.

    rome    rome:key=original    glame:encoder=mlp:steps=20    memit:layers=1-3    glame:paper

Settings stand behind the method's name, each after a colon; a list is written "1+3" or "1-3", an empty one "none", as
is a setting that is switched off so. They override the model's preset. "paper" alone stands for the published
behaviour, with the preset's own layers, and "paper-mquake" for what was published for one benchmark
(`MethodSettings.published`). Other distributions add methods by the entry-point group `kgedit.methods`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from kg_cache.nearest import did_you_mean, nearest
from kgedit.errors import SettingError, UnknownMethod
from kgedit.io.plugins import load_plugin, plugins
from kgedit.methods.base import Method
from kgedit.methods.settings import MethodSettings
from kgedit.presets import bundled_table, table

# The methods that come with the package: name -> module and class, imported when asked for.
METHODS: Mapping[str, str] = {
    "rome": "kgedit.methods.rome:Rome",
    "memit": "kgedit.methods.memit:Memit",
    "glame": "kgedit.methods.glame.method:Glame",
    "rome-kg": "kgedit.methods.rome_kg:RomeKg",
    "memit-kg": "kgedit.methods.rome_kg:MemitKg",
    "ft": "kgedit.methods.finetune:FineTune",
    "ft-l": "kgedit.methods.finetune:FineTuneBounded",
    "locft": "kgedit.methods.locft.method:Locft",
    "mend": "kgedit.methods.mend.method:Mend",
    "ke": "kgedit.methods.ke.method:Ke",
    "kn": "kgedit.methods.kn:Kn",
    "finetune-adapter": "kgedit.methods.finetune_adapter.method:FineTuneAdapter",
    "ike": "kgedit.methods.ike:Ike",
    "grace": "kgedit.methods.grace:Grace",
    "horen": "kgedit.methods.grace:Horen",
    "memoe": "kgedit.methods.memoe:Memoe",
    "serac": "kgedit.methods.serac.method:Serac",
}

GROUP = "kgedit.methods"
PAPER = "paper"
_LAYERS = ("layer", "layers", "repr_layer")  # settings that say where a method edits
NONE = "none"  # a list without items, or a setting that is switched off


def method_names() -> tuple[str, ...]:
    """Names of all methods: those of the package, then those of plugins.

    Raises:
        PluginError: A plugin takes a name that is in use.
    """
    return (*METHODS, *plugins(GROUP, METHODS))


def load_method(name: str) -> type[Method]:
    """The class of a method, imported when it is asked for.

    Raises:
        UnknownMethod: There is none of this name.
        PluginError: It is a plugin's, and cannot be imported.
    """
    if name in METHODS:
        module, _, attribute = METHODS[name].partition(":")
        built_in: type[Method] = getattr(import_module(module), attribute)
        return built_in
    added = plugins(GROUP, METHODS)
    if name not in added:
        names = (*METHODS, *added)
        raise UnknownMethod(f"there is no method {name!r}; {_near(name, names)}there are: {', '.join(names)}")
    plugin: type[Method] = load_plugin(added[name])
    return plugin


def settings_for(
    model: str, name: str, n_layers: int, *, published: str | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings of a method for a model, and a note where they had to be guessed.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        name: Name of the method.
        n_layers: Number of the model's blocks.
        published: Which of the method's published settings is wanted, if one is. It may have a table of its own in
            the preset, and what the preset sets for "paper" holds for it too.

    Raises:
        UnknownMethod: There is no such method.
    """
    kind = load_method(name).Config
    fields = _for_published(model, name) if published else table(model, name)
    notes: tuple[str, ...] = ()
    if not fields and (fields := kind.guess(n_layers)):
        values = ", ".join(f"{field} {value}" for field, value in fields.items())
        notes = (f"no preset for {model!r} and {name}: {values} is a guess from its depth of {n_layers} blocks",)
    if published is None:
        return fields, notes
    fields = {**kind.published[PAPER].sets, **fields}
    if published != PAPER:
        fields |= {**kind.published[published].sets, **table(model, f"{name}:{published}")}
    return fields, notes


def _for_published(model: str, name: str) -> dict[str, Any]:
    """What a preset says of a method's published settings.

    That is its table of them, if it has one. Else it is what the package has for the method; of a preset that was
    tuned only the layers are taken.
    """
    tuned = {field: value for field, value in table(model, name).items() if field in _LAYERS}
    return table(model, f"{name}:{PAPER}") or {**bundled_table(model, name), **tuned}


def split_variants(text: str) -> list[str]:
    """The variants of a list with commas, each as `parse_variant` reads it: "rome, memit:layers=1,2" has two."""
    # A comma between numbers belongs to a list of layers.
    parts = re.split(r",(?!\s*\d+(?:-\d+)?\s*(?:,|:|\+|$))", text)
    return [word for part in parts if (word := re.sub(r"\s*,\s*", "+", part.strip()))]


def parse_variant(variant: str) -> tuple[str, dict[str, Any]]:
    """Method name and changed settings of a variant.

    Args:
        variant: E.g. "glame:encoder=mlp".

    Returns:
        The method's name, and field -> value; "glame:paper-mquake" gives {"paper": "paper-mquake"}.

    Raises:
        UnknownMethod: There is no such method.
        SettingError: It has no such setting, or the value is none of its values.
    """
    name, *parts = variant.split(":")
    kind = load_method(name).Config
    changes: dict[str, Any] = {}
    for part in parts:
        field, equals, text = part.partition("=")
        if field in changes:
            raise SettingError(f"{variant!r} sets {field!r} twice; leave one of them out")
        if part in kind.published:
            if PAPER in changes:
                raise SettingError(f"{variant!r} names two published settings; leave one of them out")
            changes[PAPER] = part
        elif field not in kind.model_fields:
            raise SettingError(_unknown(variant, field, kind))
        elif not equals:
            raise SettingError(f"{variant!r} gives {field!r} no value; write {name}:{field}=VALUE")
        else:
            changes[field] = _value(variant, field, text, kind)
    return name, changes


def method_for(
    model: str, variant: str, n_layers: int, changes: Mapping[str, Any] | None = None
) -> tuple[Method, tuple[str, ...]]:
    """The method of a variant with the settings for a model, and a note where they had to be guessed.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        variant: See `parse_variant`.
        n_layers: Number of the model's blocks.
        changes: Fields that override the preset; the variant's own override these.

    Raises:
        UnknownMethod: There is no such method.
        SettingError: A setting is unknown or wrong, or the settings do not fit together.
    """
    name, own = parse_variant(variant)
    kind = load_method(name)
    fields, notes = settings_for(model, name, n_layers, published=own.pop(PAPER, None))
    wanted = {**fields, **(changes or {}), **own}
    try:
        config = kind.Config.model_validate(wanted)
    except ValidationError as error:
        raise SettingError(f"{variant!r} cannot be used with {model!r}: {_reason(error)}") from None
    if config.gate is not None and not kind.takes_gate:
        raise SettingError(
            f"{name} takes no gate: a gate opens at the subject's last token, and its change acts elsewhere or has a "
            "scope of its own; leave gate out, or take a method that writes there, such as rome, memit or glame"
        )
    return kind(config), notes


def _value(variant: str, field: str, text: str, kind: type[MethodSettings]) -> Any:
    info = kind.model_fields[field]
    value: str | list[str] | None = text
    if get_origin(info.annotation) is tuple:
        value = [] if text == NONE else _items(text)
    elif any(get_origin(part) is tuple for part in get_args(info.annotation)) and re.fullmatch(r"\w+([+,]\w+)*", text):
        value = _items(text)  # names; what is more than names, such as a pattern, stays one text
    elif text == NONE and NoneType in get_args(info.annotation):
        value = None
    try:
        constrained: Any = Annotated[info.annotation, info]
        return TypeAdapter(constrained).validate_python(value)
    except ValidationError as error:
        raise SettingError(f"{variant!r} sets {field} to {text!r}, which it cannot be: {_reason(error)}") from None


def _items(text: str) -> list[str]:
    """The items of a list: joined by "+" or ",", a range of whole numbers by "-"."""
    items: list[str] = []
    for part in re.split(r"[+,]", text):
        bounds = re.fullmatch(r"(\d{1,4})-(\d{1,4})", part, flags=re.ASCII)
        items += [str(number) for number in range(int(bounds[1]), int(bounds[2]) + 1)] if bounds else [part]
    return items


def _near(word: str, names: Iterable[str]) -> str:
    return did_you_mean(nearest(word, names, count=1))


def _unknown(variant: str, field: str, kind: type[MethodSettings]) -> str:
    fields: Mapping[str, Any] = kind.model_fields
    meant, there_are = _near(field, (*fields, *kind.published)), ", ".join([*fields, *kind.published])
    return f"{variant!r} sets {field!r}, which is no setting of this method; {meant}there are: {there_are}"


def _reason(error: ValidationError) -> str:
    return "; ".join(str(problem["msg"]) for problem in error.errors())
