"""N-Triples and Turtle with Wikidata's addresses: direct claims between items, labels and aliases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO

from pyoxigraph import Literal, NamedNode, Quad, RdfFormat, parse

from kg_cache import queries
from kg_cache.dump.block import Block, Fact, Named, Place, Unreadable, Wanted
from kg_cache.dump.chunks import chunks, skip_mark
from kg_cache.dump.plain_lines import PlainLines
from kg_cache.errors import ImportFailed
from kg_cache.text import show

_AT_ONCE = 1000  # statements of Turtle in a block
_ITEM = re.compile(re.escape(queries.ENTITY) + "Q([1-9][0-9]{0,11})")
_NAMED = re.compile(re.escape(queries.ENTITY) + "([QP][1-9][0-9]{0,11})")
_DIRECT = re.compile(re.escape(queries.DIRECT) + "P([1-9][0-9]{0,11})")


def ntriples(file: BinaryIO, wanted: Wanted, start: Place) -> Iterator[Block]:
    """The statements of an N-Triples file; a broken line costs itself only."""
    plain = PlainLines(wanted)
    for lines, first, end in chunks(file, start):
        try:
            facts, others, rest = plain.taken(lines)
            block = _block(parse(rest, RdfFormat.N_TRIPLES), wanted, end)
            yield block._replace(facts=facts + block.facts, others=others + block.others)
        except (SyntaxError, UnicodeDecodeError):
            # The parser cannot tell where a line with an open quote ends, so each line is read alone.
            statements: list[Quad] = []
            unreadable: list[Unreadable] = []
            for number, line in enumerate(lines.split(b"\n"), first):
                try:
                    statements += parse(line, RdfFormat.N_TRIPLES)
                except SyntaxError as error:
                    unreadable.append(_unreadable(number, "N-Triples", error))
            yield _block(statements, wanted, end)._replace(unreadable=unreadable)


def turtle(file: BinaryIO, wanted: Wanted, start: Place) -> Iterator[Block]:
    """The statements of a Turtle file; the parser goes on behind the full stop after a broken one."""
    read = start.offset
    found = islice(_turtle(file), start.offset, None)
    while some := list(islice(found, _AT_ONCE)):
        read += len(some)
        statements = [part for part in some if isinstance(part, Quad)]
        unreadable = [part for part in some if isinstance(part, Unreadable)]
        yield _block(statements, wanted, Place(read))._replace(unreadable=unreadable)


def _turtle(file: BinaryIO) -> Iterator[Quad | Unreadable]:
    skip_mark(file)
    parser, broken = parse(file, RdfFormat.TURTLE), 0
    while True:
        try:
            yield next(parser)
        except StopIteration:
            return
        except SyntaxError as error:
            if error.lineno != broken:  # on its way out of a broken line the parser may report it several times
                broken = error.lineno or 0
                yield _unreadable(broken, "Turtle", error)
        except MemoryError as error:
            raise ImportFailed(f"a statement is too large to be read ({error}); check where its quotes end") from error


def _block(statements: Iterable[Quad], wanted: Wanted, end: Place) -> Block:
    """What some statements say."""
    facts: list[Fact] = []
    names: list[Named] = []
    others = 0
    for statement in statements:
        said = _said(statement, wanted)
        if said is None:
            others += 1
        elif isinstance(said, Named):
            names += [said] if wanted.names else []
        elif wanted.facts:
            facts.append(said)
    return Block(facts, names, others, [], end)


def _said(statement: Quad, wanted: Wanted) -> Fact | Named | None:
    about, predicate, value = _address(statement.subject), statement.predicate.value, statement.object
    if predicate in (queries.LABEL, queries.ALT_LABEL):
        named = _NAMED.fullmatch(about)
        if named is None or not isinstance(value, Literal) or not value.value.strip():
            return None
        tag = value.language or ""  # the parser lowers tags
        if predicate == queries.ALT_LABEL:
            serves = tag in (wanted.language.lower(), "mul")
            return Named(named[1], None, (value.value,)) if serves else None
        return wanted.labelled(named[1], value.value, tag) if wanted.takes(tag) else None
    subject, relation = _ITEM.fullmatch(about), _DIRECT.fullmatch(predicate)
    target = _ITEM.fullmatch(_address(value))
    return (int(subject[1]), int(relation[1]), int(target[1])) if subject and relation and target else None


def _address(term: object) -> str:
    """The address of a term; empty for a literal or a blank node."""
    return term.value if isinstance(term, NamedNode) else ""


def _unreadable(line: int, name: str, error: SyntaxError) -> Unreadable:
    why = (error.msg or "").partition(": ")[2]  # before it stand line and columns
    return Unreadable(line, f"no {name} statement: {show(why)}")
