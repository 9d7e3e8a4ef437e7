"""Plugins: what other distributions add to a built-in table by entry points, found whenever the table is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from kgedit.errors import PluginError


def plugins(group: str, built_in: Collection[str] = ()) -> Mapping[str, EntryPoint]:
    """The entry points that installed distributions declare in one group; none of them is imported.

    Args:
        group: Entry-point group, such as "kgedit.feeds".
        built_in: Names that the package itself gives out.

    Returns:
        Name -> entry point, in the order of the names.

    Raises:
        PluginError: A name is built in, or two distributions declare it.
    """
    by_name: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, _distribution(entry))):
        if entry.name in built_in:
            raise PluginError(
                f"{_distribution(entry)} declares {entry.name!r} in {group}, which is the name of a built-in one; "
                "rename the entry point, or uninstall that distribution"
            )
        first = by_name.setdefault(entry.name, entry)
        if first != entry:
            raise PluginError(
                f"{_distribution(first)} and {_distribution(entry)} both declare {entry.name!r} in {group}; "
                "uninstall one of them, or rename its entry point"
            )
    return by_name


def load_plugin(entry: EntryPoint) -> Any:
    """The object that an entry point names.

    Raises:
        PluginError: Its module cannot be imported, or has no such attribute; the cause is attached.
    """
    try:
        return entry.load()
    # Importing runs code of strangers, which may fail in any way.
    except Exception as error:  # noqa: BLE001
        raise PluginError(
            f"{_distribution(entry)} declares {entry.name!r} in {entry.group}, but {entry.value!r} cannot be loaded: "
            f"{type(error).__name__}: {error}; update that distribution, or uninstall it"
        ) from error


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown distribution"
