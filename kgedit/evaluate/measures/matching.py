"""Matching rules: when a generated text counts as the right answer.

All three rules look at the first sentence or line only and accept any of several names. They ignore case,
articles and punctuation; `contains` is the usual one in the literature, `exact` the strictest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from kgedit.lm.generation.sentences import first_sentence

Matcher = Callable[[str, Iterable[str]], bool]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalise(text: str) -> str:
    """Lower case, without punctuation and articles, single spaces.

    Full stops and apostrophes vanish (D.C. is dc), other punctuation parts words (Baden-Baden is two). A text
    that is nothing but articles keeps them.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join("" if ch in ".'’`" else " " if unicodedata.category(ch)[0] in "PZC" else ch for ch in folded)
    return " ".join(_ARTICLES.sub(" ", plain).split()) or " ".join(plain.split())


def contains(text: str, answers: Iterable[str]) -> bool:
    """Whether one of the answers occurs in the text, as whole words."""
    said = normalise(first_sentence(text))
    return any(_has(said, name) for answer in answers if (name := normalise(answer)))


def begins(text: str, answers: Iterable[str]) -> bool:
    """Whether the text begins with one of the answers, as whole words."""
    said = normalise(first_sentence(text))
    names = [name for answer in answers if (name := normalise(answer))]
    return any(said.startswith(name) and _parted(said, len(name)) for name in names)


def exact(text: str, answers: Iterable[str]) -> bool:
    """Whether the text is one of the answers and nothing else up to the end of the sentence or line."""
    said = normalise(first_sentence(text))
    return any(
        name == said or _ends_after(text.strip(" "), answer.strip())
        for answer in answers
        if (name := normalise(answer))
    )


MATCHERS: Mapping[str, Matcher] = MappingProxyType({"begins": begins, "contains": contains, "exact": exact})


def _has(said: str, name: str) -> bool:
    starts = (match.start() for match in re.finditer(f"(?={re.escape(name)})", said))
    return any(_parted(said, start) and _parted(said, start + len(name)) for start in starts)


def _parted(text: str, place: int) -> bool:
    """Whether no word goes on across this place; scripts without case do not part words."""
    if not 0 < place < len(text):
        return True
    return not all(ch.isdigit() or ch.lower() != ch.upper() for ch in (text[place - 1], text[place]))


def _ends_after(text: str, answer: str) -> bool:
    """Whether a sentence ends right behind the answer, where the answer's own full stop hides that."""
    same = text[: len(answer)].casefold() == answer.casefold()
    return answer.endswith(".") and same and bool(re.match(r"\s+[A-Z]", text[len(answer) :]))
