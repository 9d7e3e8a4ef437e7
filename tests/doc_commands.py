"""The blocks of commands on the pages of docs/, and which of them say that no test runs them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- not run: (.+) -->\s*\Z")
_NAMED = re.compile(r"`([\w.-]+\.\w+)`[^\n`]*:?\n\n```\w+\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: Its page, relative to docs/.
        language: Behind the fence; "" of an indented block.
        text: What stands in it.
        not_run: Why no test runs it; None where one does.
    """

    page: str
    language: str
    text: str
    not_run: str | None

    @property
    def commands(self) -> list[str]:
        """Its commands of kgedit without the program's name, comments and continued lines taken care of."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        return [line.partition("  #")[0].strip()[len("kgedit ") :] for line in lines if line.startswith("kgedit ")]

    @property
    def other_lines(self) -> list[str]:
        """Lines that are no command of kgedit."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        return [line for line in lines if line.strip() and not line.startswith("kgedit ")]


def blocks(page: Path) -> list[Block]:
    """The fenced and indented blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [(match.start(), match[1] or "text", match[2]) for match in _FENCED.finditer(text)]
    without = _FENCED.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), text)  # indented lines in fences are none
    for match in re.finditer(r"(?<=\n\n)(?: {4}[^\n]*\n|\n(?= {4}))+", without):
        found.append((match.start(), "", re.sub(r"^ {4}", "", match[0], flags=re.MULTILINE)))
    return [
        Block(str(page.relative_to(DOCS)), language, code, mark[1] if (mark := _MARK.search(text[:start])) else None)
        for start, language, code in sorted(found)
    ]


def files(page: Path) -> dict[str, str]:
    """Files that a page shows: name -> content, of fences behind a line that names the file."""
    return {name: content for name, content in _NAMED.findall(page.read_text(encoding="utf-8"))}


ALL = [block for page in PAGES for block in blocks(page)]
