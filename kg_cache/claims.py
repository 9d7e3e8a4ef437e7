"""Claims, names and merged items, read from the rows of an endpoint's answers; claims about no item are counted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kg_cache import queries
from kg_cache.answers import Row, Selects, Term
from kg_cache.errors import EndpointRefused, EndpointTruncated
from kg_cache.graph import Triple
from kg_cache.ids import id_order
from kg_cache.text import show

_ITEM = re.compile(re.escape(queries.ENTITY) + r"(Q[1-9][0-9]{0,11})")
_ANY = re.compile(re.escape(queries.ENTITY) + r"([QP][1-9][0-9]{0,11})")
_DIRECT = re.compile(re.escape(queries.DIRECT) + r"(P[1-9][0-9]{0,11})")
_SMALLEST_LIMIT = 20  # rows; an endpoint that cannot give so few of one item is not asked again


class Claims(NamedTuple):
    """The outgoing claims of one item.

    Attributes:
        item: The item.
        triples: Its item-valued claims, by property number then item number.
        cut: Number of claims left out because of the limit.
        dropped: Number of claims whose value is no item.
    """

    item: str
    triples: tuple[Triple, ...]
    cut: int
    dropped: int


class ItemNames(NamedTuple):
    """Label of an item or property in the best language that has one, and its other names."""

    id: str
    label: str | None
    aliases: tuple[str, ...]


def fetch_claims(
    endpoint: Selects, ids: Sequence[str], *, chunk_size: int, entity_limit: int
) -> Iterator[list[Claims]]:
    """Ask for the claims of many items, one query per chunk; a chunk that proves too large is halved.

    Args:
        endpoint: Whom to ask.
        ids: Items.
        chunk_size: Items per query.
        entity_limit: Most claims kept of one item.

    Yields:
        The claims of each chunk's items, in order.

    Raises:
        EndpointError: The endpoint gives no usable answer.
    """
    work = deque((chunk, entity_limit * len(chunk)) for chunk in _chunks(ids, chunk_size))
    while work:
        chunk, limit = work.popleft()
        try:
            rows = _shaped(endpoint.select(queries.claims(chunk, limit + 1)), chunk, "property", "value")
        except EndpointTruncated:
            # Too much for the endpoint: fewer items, then fewer rows of the one item.
            if len(chunk) == 1 and limit <= _SMALLEST_LIMIT:
                raise
            smaller = [(half, entity_limit * len(half)) for half in _halves(chunk)] or [(chunk, limit // 2)]
            work.extendleft(reversed(smaller))
            continue
        # Cut at the limit: which items lost rows cannot be told, so each half is asked with room of its own.
        if len(rows) > limit and len(chunk) > 1:
            work.extendleft(reversed([(half, entity_limit * len(half)) for half in _halves(chunk)]))
            continue
        total = _count(endpoint, chunk[0]) if len(rows) > limit else None
        yield read_claims(rows, chunk, min(limit, entity_limit), total)


def read_claims(rows: Sequence[Row], ids: Sequence[str], limit: int, total: int | None = None) -> list[Claims]:
    """Sort the rows of `queries.claims` by item.

    Args:
        rows: The answer; rows about other items or other predicates are left out as not asked for.
        ids: The items that were asked about.
        limit: Most rows kept of one item.
        total: Rows that the endpoint has for the only item asked about, if it has more than it sent.
    """
    values: dict[str, dict[tuple[str, Term], None]] = {id: {} for id in ids}
    for row in rows:
        item, relation = _read(_ITEM, row.get("item")), _read(_DIRECT, row.get("property"))
        if item in values and relation and "value" in row:
            values[item][(relation, row["value"])] = None
    return [_claims_of(item, list(pairs), limit, total) for item, pairs in values.items()]


def _claims_of(item: str, pairs: list[tuple[str, Term]], limit: int, total: int | None) -> Claims:
    # The same order as in the query, so that the same claims are cut here as would be cut there.
    pairs.sort(key=lambda claim: (id_order(claim[0]), len(claim[1].value), claim[1].value))
    triples = [Triple(item, relation, o) for relation, value in pairs[:limit] if (o := _read(_ITEM, value))]
    cut = max(total or 0, len(pairs)) - min(limit, len(pairs))
    return Claims(item, tuple(dict.fromkeys(triples)), cut, min(limit, len(pairs)) - len(triples))


def fetch_names(
    endpoint: Selects, ids: Sequence[str], *, languages: Sequence[str], chunk_size: int
) -> Iterator[list[ItemNames]]:
    """Ask for labels and aliases, many per query; an item with no label in any of the languages has None.

    Args:
        endpoint: Whom to ask.
        ids: Items and properties.
        languages: In order of preference; aliases are taken in the first, and in "mul", which is all languages.
        chunk_size: Items per query.
    """
    for chunk, rows in _in_chunks(endpoint, ids, chunk_size, lambda part: queries.names(part, languages)):
        _shaped(rows, chunk, "kind", "name")
        labels: dict[str, dict[str, str]] = {id: {} for id in chunk}
        aliases: dict[str, set[str]] = {id: set() for id in chunk}
        for row in rows:
            item, kind, name = _read(_ANY, row.get("item")), row.get("kind"), row.get("name")
            if item not in labels or kind is None or name is None or name.language is None:
                continue
            tag = name.language.lower()
            if kind.value == queries.LABEL and name.value.strip():
                labels[item][tag] = name.value
            elif kind.value == queries.ALT_LABEL and tag in (languages[0].lower(), "mul"):
                aliases[item].add(name.value)
        best = {
            id: next((texts[tag.lower()] for tag in languages if tag.lower() in texts), None)
            for id, texts in labels.items()
        }
        yield [ItemNames(id, label, tuple(sorted(aliases[id] - {label}))) for id, label in best.items()]


def fetch_presence(endpoint: Selects, ids: Sequence[str], *, chunk_size: int) -> dict[str, str | None]:
    """Which of the items exist: each with the item it was merged into, if it was."""
    targets: dict[str, str | None] = {}
    for chunk, rows in _in_chunks(endpoint, ids, chunk_size, queries.presence):
        _shaped(rows, chunk)
        for row in rows:
            item, target = _read(_ITEM, row.get("item")), _read(_ITEM, row.get("target"))
            if item is not None and item in chunk and not targets.get(item):
                targets[item] = target if target != item else None
    return targets


def _shaped(rows: list[Row], ids: Sequence[str], *variables: str) -> list[Row]:
    """The rows, if they answer what was asked: an answer of another shape must not count as one without facts.

    Raises:
        EndpointRefused: A row lacks one of the variables, or none of the rows is about the items asked about.
    """
    if lacking := [name for name in ("item", *variables) if any(name not in row for row in rows)]:
        raise EndpointRefused(f"the endpoint answered with rows without ?{lacking[0]}; check KGEDIT_ENDPOINT")
    if rows and not any(_read(_ANY, row["item"]) in ids for row in rows):
        raise EndpointRefused(
            f"the endpoint answered about {show(rows[0]['item'].value)} and none of the items asked about; "
            "check KGEDIT_ENDPOINT"
        )
    return rows


def _count(endpoint: Selects, item: str) -> int | None:
    try:
        rows = endpoint.select(queries.claim_count(item))
    except EndpointTruncated:  # too many even to count: at least the row beyond the limit was cut
        return None
    value = rows[0]["count"].value if rows and "count" in rows[0] else ""
    return int(value) if re.fullmatch(r"[0-9]{1,12}", value) else None


def _in_chunks(
    endpoint: Selects, ids: Sequence[str], size: int, build: Callable[[Sequence[str]], str]
) -> Iterator[tuple[Sequence[str], list[Row]]]:
    work = deque(_chunks(ids, size))
    while work:
        chunk = work.popleft()
        try:
            rows = endpoint.select(build(chunk))
        except EndpointTruncated:
            if len(chunk) == 1:
                raise
            work.extendleft(reversed(_halves(chunk)))
            continue
        yield chunk, rows


def _chunks(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _halves(chunk: Sequence[str]) -> list[Sequence[str]]:
    middle = len(chunk) // 2
    return [chunk[:middle], chunk[middle:]] if middle else []


def _read(pattern: re.Pattern[str], term: Term | None) -> str | None:
    matched = pattern.fullmatch(term.value) if term and term.type == "uri" else None
    return matched[1] if matched else None
