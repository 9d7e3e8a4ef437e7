"""What is told by regular expressions is what the parser says, line by line."""

from __future__ import annotations

from io import BytesIO

import pytest
from pyoxigraph import RdfFormat, parse

from kg_cache.dump import rdf
from kg_cache.dump.block import Place, Wanted
from kg_cache.dump.plain_lines import PlainLines
from kg_cache.queries import ALT_LABEL, LABEL
from servers import WD, WDT

SCHEMA = "http://schema.org/"
LINES = [
    f"<{WD}Q1> <{WDT}P31> <{WD}Q5> .",
    f"<{WD}Q1> <{WDT}P31> <{WD}Q05> .",
    f"<{WD}Q1> <{WDT}P31> <{WD}P5> .",
    f"<{WD}Q1> <{WDT}P31> <{WD}Q5>.",
    f"<{WD}Q1> <{WDT}P31> <{WD}Q5> . # why",
    f"<{WD}Q1> <{WDT}P31> <{WD}Q5> .\r",
    f"<{WD}Q1> <{WDT}P31> <{WD}Q5> ; .",
    f"<{WD}Q1> <{WDT}P18> <http://commons.example/a%20b.jpg> .",
    f"<{WD}Q1> <{WDT}P18> <http://commons.example/a b.jpg> .",
    f"<{WD}Q1> <{WDT}P569> \"1879-03-14T00:00:00Z\"^^<http://www.w3.org/2001/XMLSchema#dateTime> .",
    f'<{WD}Q1> <{WDT}P569> "open .',
    f'<{WD}Q1> <{WDT}P373> "say \\"so\\"" .',
    f'<{WD}Q1> <{WDT}P373> "bad \\q" .',
    f'<{WD}Q1> <{LABEL}> "Ada"@en .',
    f'<{WD}Q1> <{LABEL}> "Ada"@EN .',
    f'<{WD}Q1> <{LABEL}> "Ada"@en-gb .',
    f'<{WD}Q1> <{LABEL}> "Ада"@ru .',
    f'<{WD}Q1> <{LABEL}> "Ada" .',
    f'<{WD}Q1> <{ALT_LABEL}> "A."@mul .',
    f'<{WD}Q1> <{ALT_LABEL}> "A."@ .',
    f'<{WD}Q1> <{SCHEMA}description> "a city, 東京"@ja .',
    f'<{WD}Q1> <{SCHEMA}description> "a city"@en_US .',
    f"<{WD}Q1> <{SCHEMA}about> <{WD}Q1> .",
    f'<{WD}Q1> <{SCHEMA}version> "5"^^<integer> .',
    '<Q1> <http://schema.org/name> "relative"@en .',
    "_:node <http://schema.org/about> <http://a.example/> .",
    "# a comment",
    "",
    "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "de", "en-gb"])
@pytest.mark.parametrize("line", LINES)
def test_each_line_is_read_as_the_parser_reads_it(line: str, language: str) -> None:
    (block,) = rdf.ntriples(BytesIO(f"{line}\n".encode()), Wanted(language), Place()) if line else (None,)
    if block is None:
        return
    try:
        by_parser = rdf._block(parse(line.encode(), RdfFormat.N_TRIPLES), Wanted(language), block.end)
    except SyntaxError:
        assert len(block.unreadable) == 1
        assert block[:3] == ([], [], 0)
    else:
        assert block == by_parser


def test_a_dump_line_needs_no_parser() -> None:
    plain = PlainLines(Wanted("en"))
    for number, kept in ((0, 0), (9, 0), (16, 0), (20, 0), (22, 0), (13, 1)):
        assert bool(plain.taken(f"{LINES[number]}\n".encode())[2].strip()) == kept, LINES[number]


def test_bytes_that_are_no_text_cost_their_line_only() -> None:
    good = f"<{WD}Q1> <{WDT}P31> <{WD}Q5> .\n".encode()
    bad = f'<{WD}Q1> <{SCHEMA}description> "'.encode() + b'\xff"@en .\n'
    (block,) = rdf.ntriples(BytesIO(good + bad + good), Wanted("en"), Place())
    assert block.facts == [(1, 31, 5)] * 2
    assert [line for line, _ in block.unreadable] == [2]
