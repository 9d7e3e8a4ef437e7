"""Whether a run can take more methods or more cases in its folder, without computing again what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any


def ids_hash(cases: Sequence[str]) -> str:
    """SHA-256 over ids of cases."""
    return hashlib.sha256("\n".join(cases).encode()).hexdigest()


def extended(there: Mapping[str, Any], wanted: Mapping[str, Any], cases: Sequence[str]) -> dict[str, Any]:
    """The manifest of a folder, with the methods and cases that a new command adds to it.

    Methods are scored each by itself, so that any may be added, and those left out of the command stay. Cases are
    added only where each is edited and asked alone, and the old ones come first; otherwise their figures would be
    others beside the new ones (edits kept, made together, or facts drawn that no edit of the run touches).

    Args:
        there: Manifest in the folder.
        wanted: Manifest of the command.
        cases: Ids of its cases, in order.

    Returns:
        Equal to `there` but for what is added; it differs from `wanted` in anything else that differs.
    """
    made = dict(there)
    if "methods" in there and "methods" in wanted:
        made["methods"] = [*dict.fromkeys([*there["methods"], *wanted["methods"]])]
        made["settings"] = {**wanted.get("settings", {}), **there.get("settings", {})}
    if _more_cases(there, wanted, cases):
        made["cases"] = wanted["cases"]
    return made


def fits(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an extended manifest covers what a command asks for."""
    return _without_methods(made) == _without_methods(wanted) and all(
        made.get("settings", {}).get(label) == settings for label, settings in wanted.get("settings", {}).items()
    )


def _more_cases(there: Mapping[str, Any], wanted: Mapping[str, Any], cases: Sequence[str]) -> bool:
    old, new = there.get("cases"), wanted.get("cases")
    if not isinstance(old, dict) or not isinstance(new, dict) or not old["number"] < new["number"]:
        return False
    apart = wanted["mode"] == "alone" and wanted["scoring"]["protocol"] == "published"
    same = {**new, "limit": old["limit"], "number": old["number"], "sha256": old["sha256"]} == old
    return apart and same and ids_hash(cases[: old["number"]]) == old["sha256"]


def _without_methods(manifest: Mapping[str, Any]) -> dict[str, Any]:
    # A part that is None is one that folders of earlier versions do not have.
    return {
        name: value for name, value in manifest.items() if name not in ("methods", "settings") and value is not None
    }
