"""Whole names in texts: whether a text contains, begins with, or is one of several names.

Names are compared as whole words in the form of `signs.legible`, without articles and without regard to case. Names of
one or two letters, names in capitals, and those that are an everyday word in small letters keep their case: "US" is no
"us", "WHO" no "who", "May" no "may". A name that is a function word of English, such as the alias "us" or "it", only
counts as the whole answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kgedit.text.sentences import first_sentence, sentence_ends
from kgedit.text.signs import HYPHEN, legible

_SHORT = 2  # letters
_LEAST_NAME = 4  # letters of an alias without capitals
_WORDLIKE = 3  # letters of names in capitals that are not also written like Unesco
# The articles; a capital A is often a name of its own (vitamin A), except at the beginning.
_ARTICLES = re.compile(r"(?:(?<!\S)(?:[Tt]he|THE|an?)|^An?)(?=\s)\s*")
_ORDINARY = frozenset(
    "a about after all also am an and any are as at be but by can do for from go had has have he her him his how i if"
    " in into is it its me more most my no nor not of off on one or our out she so some than that the their"
    " them then there they this to up us was we were what when who with you your".split()
)
_EVERYDAY = _ORDINARY | frozenset(
    "art bad ball best big book cat city club cook day dog down ever fox fun ice king long man march may men mine"
    " mobile new nice old over pen people pope prince queen reading red salt sea see still sun war well white will yes"
    " yet young".split()
)


class _Form(NamedTuple):
    """A text as it is compared: with its articles and without them."""

    whole: str
    bare: str


def normalise(text: str) -> str:
    """Lower case, without punctuation that means nothing and without articles, single spaces."""
    form = _form(text)
    return (form.bare or form.whole).replace(HYPHEN, " ").casefold()


def contains(text: str, names: Iterable[str]) -> bool:
    """Whether one of the names occurs in the first sentence or line, as whole words; it may reach beyond its end."""
    names = list(names)
    line = first_line(text)
    within, said = _form(first_sentence(line)), _form(line)
    inside = any(
        place < len(sentence)
        for name in names
        if not is_ordinary(name)
        for sentence, place in _places(within, said, name)
    )
    return inside or exact(text, names)


def begins(text: str, names: Iterable[str]) -> bool:
    """Whether the text begins with one of the names, as whole words; "Guinea" is no beginning of "Guinea-Bissau"."""
    said = _form(first_line(text))
    return any(
        spelled.startswith(name) and _is_parted(spelled, len(name)) and spoken[len(name) : len(name) + 1] != HYPHEN
        for given in names
        for spoken, spelled, name in _comparisons(said, given)
    )


def exact(text: str, names: Iterable[str]) -> bool:
    """Whether the text is one of the names and nothing else up to the end of a sentence or the line."""
    line, names = first_line(text), list(names)
    # Any sentence end may be the right one: that of "2. Bundesliga. It is" is the second.
    endings = [_form(line[:end]) for end in (*sentence_ends(line), len(line))]
    return any(
        spelled == name for given in names for said in endings for _, spelled, name in _comparisons(said, given)
    ) or any(ends_after(line, name.strip()) or _is_sign(line, name) for name in names)


def _is_sign(line: str, name: str) -> bool:
    """Whether a text is a name of signs alone, such as that of the band !!!; full stops alone are none."""
    return not legible(name) and bool(name.strip(" .")) and line.strip() == name.strip()


def first_line(text: str) -> str:
    """The first line of an answer, spaces around it dropped."""
    return text.strip(" ").partition("\n")[0].rstrip()


def _form(text: str) -> _Form:
    whole = legible(text)
    bare = " ".join(_ARTICLES.sub("", whole).split())
    return _Form(whole, whole if bare.casefold() in ("the", "a", "an") else bare)


def _comparisons(said: _Form, name: str) -> Iterator[tuple[str, str, str]]:
    """(text with hyphens, text, name) as they are to be compared; nothing for a name without a letter or sign."""
    form = _form(name)
    for spoken, given in zip(said, form, strict=True):
        # Articles are no part of a name, unless they are all that tells it from an everyday word (The Who).
        if not given or (given == form.bare != form.whole and given.casefold() in _ORDINARY):
            continue
        spelled, written = spoken.replace(HYPHEN, " "), given.replace(HYPHEN, " ")
        if _keeps_case(written):
            yield from ((spoken, spelled, variant) for variant in _variants(written, spelled))
        else:
            folded = spelled.casefold()
            # Casefolding may lengthen a text (ß); then the places of hyphens are not known.
            yield (spoken if len(folded) == len(spoken) else folded), folded, written.casefold()


def _places(within: _Form, said: _Form, name: str) -> Iterator[tuple[str, int]]:
    """(first sentence, place) of each occurrence of a name as whole words."""
    for spoken, spelled, written in _comparisons(said, name):
        sentence = within.whole if spoken in (said.whole, said.whole.casefold()) else within.bare
        start = spelled.find(written)
        while start >= 0:
            end = start + len(written)
            if _is_parted(spelled, start) and _is_parted(spelled, end) and not _is_part(spoken, start, end):
                yield sentence, start
            start = spelled.find(written, start + 1)


def _keeps_case(name: str) -> bool:
    """Whether a name is short, in capitals or like an everyday word, and made of nothing but letters."""
    letters = name.replace(" ", "")
    if not letters.isalpha() or letters.lower() == letters.upper():
        return False
    return len(letters) <= _SHORT or name.isupper() or (not name.islower() and name.casefold() in _EVERYDAY)


def _variants(name: str, spelled: str) -> Iterator[str]:
    """The spellings of a name that keeps its case: a longer one in capitals may also be written like Unesco."""
    yield name
    if name.isupper() and len(name) > _WORDLIKE:
        yield name.capitalize()
    if name.islower() and spelled[:1].isupper():  # at the beginning of a sentence
        yield name[0].upper() + name[1:]


def is_ordinary(name: str) -> bool:
    """Whether a name is an everyday word of English, unless it is written in capitals."""
    written = legible(name)
    return not written.isupper() and written.casefold() in _ORDINARY


def may_be_name(alias: str) -> bool:
    """Whether an alias is a name that people say, and no code such as "it" or "ISO 639:it"."""
    return bool(alias.strip()) and ":" not in alias and (alias != alias.lower() or len(alias) >= _LEAST_NAME)


def _is_parted(text: str, place: int) -> bool:
    """Whether no word goes on across this place; scripts without case do not part words."""
    if not 0 < place < len(text):
        return True
    pair = text[place - 1], text[place]
    if any(ch.isspace() or (ch.isalpha() and ch.lower() == ch.upper()) for ch in pair):
        return True
    return any(unicodedata.category(ch) == "So" and ch != "°" for ch in pair)  # a symbol, such as a flag


def _is_part(spoken: str, start: int, end: int) -> bool:
    """Whether a name is joined by a hyphen to another one: Guinea-Bissau is no Guinea, Paris-based is Paris."""
    before = spoken[:start].split(" ")[-1]
    return (before[-1:] == HYPHEN and before[:1].isupper()) or (
        spoken[end : end + 1] == HYPHEN and spoken[end + 1 : end + 2].isupper()
    )


def starts_with(line: str, name: str) -> bool:
    """Whether a text begins with a name, letter by letter but for case."""
    return line.casefold().startswith(name.casefold())


def ends_after(text: str, name: str) -> bool:
    """Whether a sentence ends right behind the name, where the name looks like an abbreviation and hides that."""
    if not starts_with(text, name):
        return False
    behind = text[len(name) :]
    # "St" and "J" may go on as St. Louis and J. K. Rowling; CA and Big G do not.
    whole = " " in name or (name.isupper() and len(name) > 1)
    return bool(re.match(r"\s+[A-Z]" if name.endswith(".") else r"\.(?=\s+[A-Z]|$)", behind)) and (
        whole or name.endswith(".")
    )
