"""A method with some of its settings changed, as one word of the command line.

    rome    rome:key=original    glame:encoder=mlp:steps=20    glame:layers=1+2    glame:paper

Settings stand behind the method's name, each after a colon; the parts of a list are joined by "+". They override the
model's preset. "paper" alone stands for the published behaviour (`GlameConfig.paper`), with the preset's own layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, get_origin

from pydantic import TypeAdapter, ValidationError

from kgedit.errors import SettingError
from kgedit.methods.base import Method, load_method
from kgedit.methods.base import Settings as MethodSettings
from kgedit.presets import preset

PAPER = "paper"


def parse_variant(variant: str) -> tuple[str, dict[str, Any]]:
    """Method name and changed settings of a variant.

    Args:
        variant: E.g. "glame:encoder=mlp".

    Returns:
        The name in `METHODS`, and field -> value; "glame:paper" gives {"paper": True}.

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
        if part == PAPER and hasattr(kind, PAPER):
            changes[PAPER] = True
        elif field not in kind.model_fields:
            raise SettingError(_unknown(variant, field, kind))
        elif not equals:
            raise SettingError(f"{variant!r} gives {field!r} no value; write {name}:{field}=VALUE")
        else:
            changes[field] = _value(variant, field, text, kind)
    return name, changes


def method_for(model: str, variant: str, n_layers: int) -> tuple[Method, tuple[str, ...]]:
    """The method of a variant with the settings for a model, and a note where they had to be guessed.

    Args:
        model: "mini", a hub id or a path; its last component names the preset.
        variant: See `parse_variant`.
        n_layers: Number of the model's blocks.

    Raises:
        UnknownMethod: There is no such method.
        SettingError: A setting is unknown or wrong, or the settings do not fit together.
    """
    name, changes = parse_variant(variant)
    kind = load_method(name)
    paper = changes.pop(PAPER, False)
    fields, notes = preset(model, f"{name}:{PAPER}" if paper else name, n_layers)
    if changes.get("encoder") == "none":  # the published settings train the encoder alone: nothing would be left
        changes.setdefault("free_offset", True)
    try:
        config = kind.Config.paper(**fields | changes) if paper else kind.Config.model_validate(fields | changes)
    except ValidationError as error:
        raise SettingError(f"{variant!r} cannot be used with {model!r}: {_reason(error)}") from None
    method: Method = kind(config)
    return method, notes


def _value(variant: str, field: str, text: str, kind: type[MethodSettings]) -> Any:
    info = kind.model_fields[field]
    value = text.split("+") if get_origin(info.annotation) is tuple else text
    try:
        kept: Any = Annotated[info.annotation, info]
        return TypeAdapter(kept).validate_python(value)
    except ValidationError as error:
        raise SettingError(f"{variant!r} sets {field} to {text!r}, which it cannot be: {_reason(error)}") from None


def _unknown(variant: str, field: str, kind: type[MethodSettings]) -> str:
    fields: Mapping[str, Any] = kind.model_fields
    near = get_close_matches(field, fields, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{variant!r} sets {field!r}, which is no setting of this method; {meant}there are: {', '.join(fields)}"


def _reason(error: ValidationError) -> str:
    return "; ".join(str(found["msg"]) for found in error.errors())
