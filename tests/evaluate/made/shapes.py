"""The shape of JSON data, to compare a made file with an original one."""

from __future__ import annotations


def keys_of(value: object) -> object:
    """The shape of JSON data: keys of objects, shape of the first element of a list, nothing of the rest."""
    if isinstance(value, dict):
        return {key: keys_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [keys_of(value[0])] if value else []
    return type(value).__name__
