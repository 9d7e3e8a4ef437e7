"""The nearest of known names to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

from kg_cache.text import fold

_COMPARED = 40  # names that are alike enough to be ranked
_TYPO = 2  # changed letters that are a slip of the hand rather than other words


def nearest(text: str, names: Iterable[str], *, count: int = 3, cutoff: float = 0.6, far: float = 0.0) -> list[str]:
    """Names that a misspelt text may mean, nearest first; case is ignored.

    Args:
        text: What was written.
        names: What there is; of names equally near, those that come first are taken.
        count: The most names wanted.
        cutoff: How alike they must be at least, from 0 to 1 (`difflib.SequenceMatcher.ratio`).
        far: The same for names that differ in more letters than a slip of the hand does.
    """
    written = fold(text)
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(fold(name), name)
    order = {name: place for place, name in enumerate(spelled)}
    alike = get_close_matches(written, order, n=_COMPARED, cutoff=cutoff)
    distance = {name: changes(written, name) for name in alike}
    first = min(distance.values(), default=0)
    if first <= _TYPO:  # guesses that are further off would only distract
        alike = [name for name in alike if distance[name] <= first + 1]
        alike.sort(key=lambda name: (distance[name], order[name]))
    else:
        alike = [name for name in alike if SequenceMatcher(None, name, written).ratio() >= far]
    return [spelled[name] for name in alike[:count]]


def changes(text: str, name: str) -> int:
    """Number of letters to insert, drop or replace, by the longest parts that both texts share.

    Two letters that changed places count as one.
    """
    if len(text) == len(name) and sorted(text) == sorted(name):
        differing = [place for place, (one, other) in enumerate(zip(text, name, strict=True)) if one != other]
        if len(differing) == 2 and differing[1] == differing[0] + 1:
            return 1
    steps = SequenceMatcher(None, text, name, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in steps if kind != "equal")


def did_you_mean(near: Sequence[str]) -> str:
    """The question that an error asks, with a space behind it; empty without a near name."""
    quoted = [repr(name) for name in near]
    listed = " or ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
    return f"did you mean {listed}? " if quoted else ""
