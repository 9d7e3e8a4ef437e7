"""The benchmarks: one file each, from a loaded record to what is scored. A new suite is a file and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks import Loaded
from kgedit.evaluate.benchmarks.case import Suite

# Suite -> module, and the formats of its files (see `data.formats.FORMATS`).
SUITES: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType(
    {
        "counterfact": ("counterfact", frozenset({"counterfact", "counterfact-flat", "counterfact-plus"})),
        "counterfactplus": ("counterfact", frozenset({"counterfact-plus"})),
        "zsre": ("zsre", frozenset({"zsre", "zsre-plus"})),
        "mquake": ("mquake", frozenset({"mquake", "mquake-questions"})),
        "ripple": ("ripple", frozenset({"rippleedits"})),
        "knowedit": ("knowedit", frozenset({"knowedit"})),
        "known-facts": ("known_facts", frozenset({"known-facts"})),
    }
)


def suite_for(name: str, loaded: Loaded) -> Suite:
    """How the records of a file are scored under a suite.

    Raises:
        EvaluationError: There is no such suite, or the file belongs to another one.
    """
    if name not in SUITES:
        raise EvaluationError(f"there is no suite {name!r}; there are: {', '.join(SUITES)}")
    module, formats = SUITES[name]
    if loaded.format not in formats:
        fitting = [other for other, (_, taken) in SUITES.items() if loaded.format in taken]
        raise EvaluationError(
            f"{loaded.source} is in the format {loaded.format}, which is not one of {name} "
            f"({', '.join(sorted(formats))}); it can be run as {' or '.join(fitting)}"
        )
    return cast(Suite, import_module(f"{__package__}.{module}.case").case)
