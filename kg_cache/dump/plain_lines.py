"""Lines of N-Triples in the one way in which dumps write them, told by regular expressions and not by a parser.

Most statements of Wikidata's truthy dump are of no use here (descriptions, other languages, dates), and most others
are claims between items. A parser makes objects of them all, which takes several times as long as telling them apart.
Whatever is written in any other way is left to the parser: escapes, odd addresses, broken lines.
"""

from __future__ import annotations

import re

from kg_cache import queries
from kg_cache.dump.block import Fact, Wanted
from kg_cache.settings import SUBSTITUTES

_ADDRESS = r'[A-Za-z][A-Za-z0-9+.-]*+:[^\x00-\x20<>"{}|^`\\%\[\]]*+>'  # behind its "<"
_TEXT = r'"[^"\\\r\n]*+"'
_TAG = r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*+"
_NUMBER = "([1-9][0-9]{0,11})"
_NAME = f"(?:{re.escape(queries.LABEL)}|{re.escape(queries.ALT_LABEL)})>"
# The line break before a line is part of the pattern, since a pattern that begins with plain letters is found faster.
_CLAIM = re.compile(
    f"\n<{re.escape(queries.ENTITY)}Q{_NUMBER}> <{re.escape(queries.DIRECT)}P{_NUMBER}> "
    f"<{re.escape(queries.ENTITY)}Q{_NUMBER}> \\.(?=\n)".encode()
)


class PlainLines:
    """Takes the plain lines out of a chunk.

    Args:
        wanted: What is to be read.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        languages = "|".join(map(re.escape, {wanted.language.lower(), *SUBSTITUTES}))
        useless = (
            f"(?!{_NAME}){_ADDRESS} {_TEXT}(?:@{_TAG}|\\^\\^<{_ADDRESS})?",  # a value that is no item
            f"{_NAME} {_TEXT}@(?!(?i:{languages}) ){_TAG}",  # a name in a language that serves nobody
            f"(?!{_NAME}|{re.escape(queries.DIRECT)}){_ADDRESS} <{_ADDRESS}",  # another predicate
        )
        self._useless = re.compile(f"\n<{_ADDRESS} <(?:{'|'.join(useless)}) \\.(?=\n)".encode())

    def taken(self, lines: bytes) -> tuple[list[Fact], int, bytes]:
        """The facts of plain lines, the number of plain lines that say nothing of use, and all other lines.

        Raises:
            UnicodeDecodeError: A line is no UTF-8.
        """
        lines.decode("utf-8")
        rest, *numbers = _split(b"\n" + lines)
        facts = list(zip(*(map(int, column) for column in numbers), strict=True)) if self._wanted.facts else []
        rest, others = self._useless.subn(b"", rest)
        return facts, others, rest


def _split(lines: bytes) -> tuple[bytes, list[bytes], list[bytes], list[bytes]]:
    """What is left of the lines without plain claims, and the three columns of numbers of these."""
    parts = _CLAIM.split(lines)
    return b"".join(parts[::4]), parts[1::4], parts[2::4], parts[3::4]
