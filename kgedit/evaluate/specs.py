"""Methods as a command line names them: `rome`, `rome:key=original`, `glame:encoder=mlp:steps=20`, `glame:paper`.

A name is followed by settings that replace those of the model's preset; `unedited` is the model as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kgedit.errors import EvaluationError
from kgedit.evaluate.results import UNEDITED
from kgedit.methods.base import Settings, load_method
from kgedit.presets import preset

PAPER = "paper"


@dataclass(frozen=True)
class MethodSpec:
    """One method of a comparison.

    Attributes:
        label: How it was written, and how reports call it.
        method: Its name in `METHODS`.
        changes: Setting -> value that replaces the preset's.
        paper: Take the published procedure, with the preset's layer and sizes.
    """

    label: str
    method: str
    changes: tuple[tuple[str, Any], ...] = ()
    paper: bool = False

    def config(self, model: str, n_layers: int) -> Settings:
        """The full settings for a model.

        Args:
            model: "mini", a hub id or a folder; names the preset.
            n_layers: Number of its blocks.

        Raises:
            EvaluationError: A setting is unknown to the method, or has a value that it cannot have.
        """
        kind = load_method(self.method).Config
        fields, _ = preset(model, self.method, n_layers)
        fields = fields | dict(self.changes)
        try:
            if self.paper:
                fields = _of_preset(fields, preset(model, "rome", n_layers)[0], kind) | dict(self.changes)
                made: Settings = kind.paper(**fields)
            else:
                made = kind.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or "settings"
            raise EvaluationError(
                f"{self.label!r}: {where}: {first['msg'].removeprefix('Value error, ')}; "
                f"the settings of {self.method} are {', '.join(kind.model_fields)}"
            ) from None
        return made


def parse_methods(text: str) -> tuple[MethodSpec, ...]:
    """The methods of a comma-separated list, without `unedited`, which every run has.

    Raises:
        UnknownMethod: A name is not that of a method.
        EvaluationError: The list is empty, has something twice, or a setting is not "name=value".
    """
    words = [word.strip() for word in _split(text)]
    specs = [_parse(word) for word in words if word and word != UNEDITED]
    if not any(words):
        raise EvaluationError("no method is named; give some, e.g. --methods rome,memit,glame")
    labels = [spec.label for spec in specs]
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise EvaluationError(f"{', '.join(doubled)} stands in the list of methods more than once")
    return tuple(specs)


def _parse(word: str) -> MethodSpec:
    method, *settings = word.split(":")
    kind = load_method(method)
    paper = PAPER in settings
    if paper and not hasattr(kind.Config, PAPER):
        raise EvaluationError(f"{word!r}: {method} has no published variant beside its own; leave out :paper")
    changes = []
    for setting in settings:
        name, mark, value = setting.partition("=")
        if not mark and setting != PAPER:
            raise EvaluationError(
                f"{word!r}: {setting!r} is no setting; write {method}:NAME=VALUE, e.g. {method}:steps=20"
            )
        if mark:
            changes.append((name, _value(value)))
    return MethodSpec(word, method, tuple(changes), paper)


def _split(text: str) -> Iterable[str]:
    """At the commas that stand outside brackets: `memit:layers=[1,2],rome` are two."""
    depth, start = 0, 0
    for place, ch in enumerate(text):
        depth += (ch == "[") - (ch == "]")
        if ch == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _value(text: str) -> Any:
    """A number, list or truth value as JSON writes it; anything else is a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _of_preset(fields: dict[str, Any], rome: dict[str, Any], kind: type[Settings]) -> dict[str, Any]:
    """What the published procedure takes over: which single layer it edits, what represents labels, and the ending."""
    if fields.get("published"):
        return fields  # the preset is the published one
    layer = rome["layer"]
    taken = {name: fields[name] for name in ("clamp", "ending", "max_edges", "order") if name in fields}
    return taken | {"layers": (layer,), "repr_layer": min(fields.get("repr_layer", layer), layer)}
