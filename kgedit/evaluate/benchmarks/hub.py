"""Rows of a data set on the Hugging Face hub, through the `datasets` library (extra `datasets`)."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kgedit.errors import DataError, MissingExtra

_ID = re.compile(
    r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?(?:#(?P<split>[\w.-]+))?"
)


@dataclass(frozen=True)
class HubId:
    """Which rows: "owner/name:config@revision#split"; everything but the name may be left out."""

    name: str
    config: str | None = None
    revision: str | None = None
    split: str | None = None


def parse_id(text: str) -> HubId | None:
    """The id, or None if the text cannot be one."""
    match = _ID.fullmatch(text)
    return HubId(**match.groupdict()) if match else None


def rows(wanted: HubId) -> Iterator[dict[str, Any]]:
    """The rows of one split. No code of the data set's repository is run.

    Columns without a value are left out, as files leave them out.

    Raises:
        MissingExtra: `datasets` is not installed.
        DataError: The data set cannot be loaded, or it has several splits and none is named.
    """
    try:
        library: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise MissingExtra(
            f"{wanted.name} is neither a file nor a folder here; to load it from the Hugging Face hub install the "
            "extra: pip install 'kgedit[datasets]'"
        ) from error
    try:
        splits = library.load_dataset(wanted.name, wanted.config, revision=wanted.revision)
    except (OSError, ValueError, library.exceptions.DatasetsError) as error:
        raise DataError(
            f"{wanted.name} is neither a file nor a folder here, and could not be loaded from the Hugging Face hub: "
            f"{error}. Check the spelling and the network, or download its JSON file and give the path of that."
        ) from error
    if wanted.split is None and len(splits) > 1:
        raise DataError(
            f"{wanted.name} has the splits {', '.join(splits)}; add one to its name, as in #{next(iter(splits))}"
        )
    split = wanted.split or next(iter(splits))
    if split not in splits:
        raise DataError(f"{wanted.name} has no split {split!r}; it has {', '.join(splits)}")
    return (_without_none(row) for row in splits[split])


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
