"""Templates of the SPARQL that is sent: plain SPARQL 1.1, filled with checked ids, languages and numbers.

No label service and no engine's hints, so that any engine with Wikidata's triples can answer. Each template
asks about many items at once, listed in VALUES.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kg_cache.ids import check_entity_id, check_relation_id

ENTITY = "http://www.wikidata.org/entity/"
DIRECT = "http://www.wikidata.org/prop/direct/"
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
ALT_LABEL = "http://www.w3.org/2004/02/skos/core#altLabel"
_SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*")


def claims(ids: Sequence[str], limit: int) -> str:
    """Direct claims of the items whose value is no literal: ?item ?property ?value, in numeric order.

    Among addresses with one prefix, (length, text) is the order of their numbers, so a cut list is the same
    list on every engine.
    """
    return f"""PREFIX wd: <{ENTITY}>
SELECT ?item ?property ?value WHERE {{
  VALUES ?item {{ {_values(ids)} }}
  ?item ?property ?value .
  FILTER(STRSTARTS(STR(?property), "{DIRECT}"))
  FILTER(!isLiteral(?value))
}}
ORDER BY STR(?item) STRLEN(STR(?property)) STR(?property) STRLEN(STR(?value)) STR(?value)
LIMIT {int(limit)}"""


def claim_count(id: str) -> str:
    """How many rows `claims` would give for one item without a limit: ?count."""
    return f"""PREFIX wd: <{ENTITY}>
SELECT (COUNT(*) AS ?count) WHERE {{
  VALUES ?item {{ {_values([id])} }}
  ?item ?property ?value .
  FILTER(STRSTARTS(STR(?property), "{DIRECT}"))
  FILTER(!isLiteral(?value))
}}"""


def names(ids: Sequence[str], languages: Sequence[str]) -> str:
    """Labels and aliases of items and properties in some languages: ?item ?kind ?name."""
    return f"""PREFIX wd: <{ENTITY}>
SELECT ?item ?kind ?name WHERE {{
  VALUES ?item {{ {_values(ids)} }}
  VALUES ?kind {{ <{LABEL}> <{ALT_LABEL}> }}
  ?item ?kind ?name .
  FILTER(LANG(?name) IN ({", ".join(map(_language, languages))}))
}}"""


def presence(ids: Sequence[str]) -> str:
    """Which of the items exist, and what those that were merged became: ?item, perhaps ?target."""
    return f"""PREFIX wd: <{ENTITY}>
SELECT DISTINCT ?item ?target WHERE {{
  VALUES ?item {{ {_values(ids)} }}
  FILTER EXISTS {{ ?item ?property ?value }}
  OPTIONAL {{ ?item <{_SAME_AS}> ?target }}
}}"""


def _values(ids: Sequence[str]) -> str:
    checked = (check_relation_id(id) if id.startswith("P") else check_entity_id(id) for id in ids)
    return " ".join(f"wd:{id}" for id in checked)


def _language(tag: str) -> str:
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"{tag!r} is no language tag such as en or pt-br")
    return f'"{tag}"'
