"""Ids of items (Q42) and properties (P31): their form, their order, and the types that check them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from kg_cache.errors import InvalidId
from kg_cache.text import show

_ENTITY = re.compile(r"Q[1-9][0-9]{0,11}")
_RELATION = re.compile(r"P[1-9][0-9]{0,11}")
# An id as queries, pages and links write it: an address in or without angle brackets, or a prefix before it.
_SPELLED = re.compile(
    r"<?(?:(?:(?:https?:)?//)?(?:www\.|m\.)?wikidata\.org/"
    r"(?:entity/|prop/(?:[a-z-]+/)*|(?:wiki/|w/index\.php\?title=)(?:Property(?::|%3A)|Special:Entity(?:Data|Page)/)?)"
    r"|(?:wd|wdt|wdtn|wdno|wdata|p|p[sqr][vn]?|entity|item|property|d|wikidata):)"
    r"([QP][1-9][0-9]{0,11})(?:\.(?:json|ttl|nt|rdf))?(?:[?&#][^\s>]*)?>?",
    re.IGNORECASE,
)


def check_entity_id(text: str) -> str:
    """Return `text` if it is an item id such as Q42 (ASCII digits only).

    Raises:
        InvalidId: It is anything else.
    """
    if not is_entity_id(text):
        raise InvalidId(f"{show(text)} is no item id; an item id is Q and up to 12 ASCII digits, e.g. Q42")
    return text


def check_relation_id(text: str) -> str:
    """Return `text` if it is a property id such as P31 (ASCII digits only).

    Raises:
        InvalidId: It is anything else.
    """
    if not is_relation_id(text):
        raise InvalidId(f"{show(text)} is no property id; a property id is P and up to 12 ASCII digits, e.g. P31")
    return text


def is_entity_id(text: str) -> bool:
    """Whether `text` has the form of an item id."""
    return _ENTITY.fullmatch(text) is not None


def is_relation_id(text: str) -> bool:
    """Whether `text` has the form of a property id."""
    return _RELATION.fullmatch(text) is not None


def as_id(text: str) -> str:
    """The id that a text spells as an address or with a prefix (wd:Q42); any other text as it is, without blanks."""
    text = text.strip()
    spelled = _SPELLED.fullmatch(text)
    return spelled[1].upper() if spelled else text


def as_id_in_any_case(text: str) -> str:
    """The id that a text spells, also in lower case (q42), which may be a name; other text as `as_id` has it."""
    text = as_id(text)
    id = text.upper()
    return id if is_entity_id(id) or is_relation_id(id) else text


def id_order(identifier: str) -> tuple[str, int]:
    """Sort key of ids: items and properties apart, each by number."""
    return identifier[0], int(identifier[1:])


EntityId = Annotated[str, AfterValidator(check_entity_id)]
RelationId = Annotated[str, AfterValidator(check_relation_id)]
