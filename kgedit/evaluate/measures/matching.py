"""Matching rules: when a generated text counts as the right answer.

All three rules look at the first sentence or line only and accept any of several names (see `kgedit.text.names`);
`contains` is the usual one in the literature, `exact` the strictest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from kgedit.text.names import begins, contains, exact, normalise

__all__ = ("MATCHERS", "Matcher", "begins", "contains", "exact", "normalise")

Matcher = Callable[[str, Iterable[str]], bool]

MATCHERS: Mapping[str, Matcher] = MappingProxyType({"begins": begins, "contains": contains, "exact": exact})
