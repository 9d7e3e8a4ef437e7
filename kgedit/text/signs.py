"""The form of a text in which names are compared: punctuation gone, but nothing that carries a meaning.

Kept are the signs of numbers ("3.14", "-5", "5 %", "1/2"), of names ("C++", "C#", "A*", "AT&T", ".NET") and of money.
Full stops and apostrophes elsewhere vanish (D.C. is DC), and other punctuation parts words.
"""

from __future__ import annotations

import re
import unicodedata

# Where a hyphen stood inside a word; it counts as a space, but `names` can tell that the word goes on.
HYPHEN = "\u2010"

_MARKED = re.compile(r"(\*{1,3}|_{1,3}|`{1,3})(?=\S)(.+?)(?<=\S)\1")  # emphasis of Markdown
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BEFORE_UNIT = re.compile(r"(?<=\d)\s+(?=[%‰°])")
_INITIALS = re.compile(r"\b([^\W\d_]\.)\s+(?=[^\W\d_]\.)")  # J. R. R. Tolkien is J.R.R. Tolkien
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER = re.compile(r"(?<=\d)[⁰¹²³⁴⁵⁶⁷⁸⁹]+")  # a power, where NFKC would add digits to the number
_GLUED = frozenset("+#&@%‰°^√±♭♮")
_LOOSE = frozenset("=<>|~©®™")


def legible(text: str) -> str:
    """The text in this form, its case kept; empty where it has nothing but punctuation."""
    if text.isascii() and text.replace(" ", "").isalnum():  # as most names are: nothing below would change it
        return " ".join(text.split())
    text = _POWER.sub(lambda power: "^" + power.group().translate(_RAISED), text)
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    text = _INITIALS.sub(r"\1", _BEFORE_UNIT.sub("", _THOUSANDS.sub("", _MARKED.sub(r"\2", text))))
    around = zip(" " + text, text, text[1:] + " ", strict=False)
    return " ".join("".join(_form(before, ch, after) for before, ch, after in around).split())


def _form(before: str, character: str, after: str) -> str:
    """What becomes of one character between two others: itself, nothing, a space, or another sign."""
    if character in "'’ʼ`":
        return ""
    if character.isalnum():
        return character
    inside = before.isdigit() and after.isdigit()
    if character == ".":
        starts = not before.isalnum() and before != "." and after.isalnum()  # .5, .NET
        return "." if inside or starts else ""
    if character in ",:/":
        return character if inside else " "
    if character == "-" or unicodedata.category(character) == "Pd":
        return _dash(before, character, after)
    if character == "&" and before.isspace() and after.isspace():
        return "and"
    if character == "*":
        return character if before.isalnum() and not after.isalnum() else " "
    category = unicodedata.category(character)
    if character in _GLUED or category == "Sc" or (category in ("Sm", "So") and character not in _LOOSE):
        return character
    return " " if category[0] in "PZCS" else character


def _dash(before: str, character: str, after: str) -> str:
    if character == "-" and after.isdigit() and not before.isalnum() and before not in ")]":
        return "-"  # a sign
    if character == "-" and before.isupper() and not after.isalnum() and after != "-":
        return "-"  # a grade or blood group: A-
    return HYPHEN if before.isalnum() and after.isalnum() else " "
