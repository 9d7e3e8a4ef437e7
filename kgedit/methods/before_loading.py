"""What can be known to be wrong with a method, its settings and its statistics before the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kgedit.errors import MomentError
from kgedit.lm.second_moment.find import MomentSource, check_layers
from kgedit.methods.registry import PAPER, load_method, method_for, parse_variant
from kgedit.methods.settings import MethodSettings
from kgedit.presets import table

_LAYERS = {"layer", "layers"}


def check_before_loading(
    model: str,
    variant: str,
    *,
    config: MethodSettings | None = None,
    moments: MomentSource = "auto",
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Refuse what would fail after minutes of loading and computing.

    Args:
        model: See `method_for`.
        variant: See `method_for`.
        config: The method's settings, in the place of a preset's.
        moments: See `find_moments`.
        changes: See `method_for`.

    Raises:
        UnknownMethod, SettingError: There is no such method or setting, or the settings do not fit together.
        MomentError: There is no such folder of second moments, or it lacks a layer.
    """
    name, own = parse_variant(variant)
    folder = None if moments in ("auto", "collect", "identity") else Path(moments)
    if folder is not None and not folder.is_dir():
        raise MomentError(f"{str(folder)!r} is no folder of second moments; `kgedit moments` makes one")
    if config is not None:
        method = load_method(name)(config)
    elif (
        _LAYERS & {*own}
        or table(model, f"{name}:{PAPER}")
        or table(model, name)
        or not load_method(name).Config.guess(1)
    ):
        method, _ = method_for(model, variant, 1, changes)
    else:
        return  # the layers follow from the model's depth
    if folder is not None:
        check_layers(folder, method.moment_layers)
