"""The page reference/settings.md, written from the methods' own classes: each setting with its default and meaning."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from cells import escaped

PAGE = "reference/settings.md"
INTRO = """# Settings of methods

A setting stands behind the method's name, after a colon: `--method rome:layer=5`, and in a list of methods
`--methods memit:layers=4-8,glame:paper`. Several layers are `4+6` or `4-8`. What is not given comes from the model's
preset (`kgedit/presets/MODEL.toml`, or your own in the [configuration folder](../configuration.md)), then from the
defaults below; *required* ones are guessed from the depth of a model that has no preset, and the result says so. A
published variant sets several at once. [The mathematics](../methods.md) says what the symbols mean.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page to the site."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The page about the methods of this installation."""
    from kgedit.methods.registry import METHODS, load_method

    return INTRO + "".join(_section(name, load_method(name)) for name in METHODS)


def _section(name: str, method: Any) -> str:
    kind = method.Config
    facts = {"kind": method.kind, "needs": method.needs or "nothing", "export": method.exports or "none"}
    said = ". ".join(f"{what.capitalize()}: {text}" for what, text in facts.items() if text)
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    meanings = dict(_meanings(kind))
    for field, info in kind.model_fields.items():
        default = "*required*" if info.is_required() else f"`{_written(info.get_default(call_default_factory=True))}`"
        rows.append(f"| `{field}` | {default} | {meanings.get(field, '')} |")
    variants = [
        f"- `{name}:{word}` sets {_set(variant.sets)}: {variant.about}."
        for word, variant in kind.published.items()
        if variant.sets
    ]
    return "\n\n".join([f"\n## {name}", method.summary, f"{said}.", "\n".join(rows), "\n".join(variants)]) + "\n"


def _meanings(kind: type) -> Iterator[tuple[str, str]]:
    """Field and meaning, from the section "Attributes" of the class and its bases; the class's own come last."""
    for base in reversed(kind.__mro__):
        _, _, attributes = (inspect.cleandoc(vars(base).get("__doc__") or "")).partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w)", attributes.partition("\n\n")[0].rstrip("\n")):
            field, colon, meaning = entry.strip().partition(":")
            if colon:
                yield field, escaped(meaning)


def _set(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"`{field}={_written(value)}`" for field, value in fields.items())


def _written(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple | set | frozenset):
        return "+".join(map(str, value)) or "none"
    return (
        f"{value:g}"
        if isinstance(value, float)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value) or '""'
    )
