"""The rows of a SPARQL answer, checked on arrival."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kg_cache.errors import EndpointRefused, EndpointTruncated
from kg_cache.http_errors import is_heavy
from kg_cache.text import show


class Term(BaseModel):
    """One value of an answer; Virtuoso's "typed-literal" is a literal."""

    model_config = ConfigDict(frozen=True)

    type: Literal["uri", "literal", "typed-literal", "bnode"]
    value: str
    language: str | None = Field(default=None, alias="xml:lang")


Row = dict[str, Term]


class Selects(Protocol):
    """What a graph needs of an endpoint."""

    def select(self, query: str) -> list[Row]:
        """The rows of a SELECT query."""
        ...


class _Head(BaseModel):
    vars: list[str] = []


class _Bindings(BaseModel):
    bindings: list[Row]


class _Answer(BaseModel):
    head: _Head = _Head()
    results: _Bindings


def read_answer(body: bytes, host: str, variables: Sequence[str] = ()) -> list[Row]:
    """The rows of an answer in SPARQL 1.1 JSON.

    Args:
        body: The answer as it came.
        host: Named in messages.
        variables: What the query selects; an answer about other things is none, even if it has no rows.

    Raises:
        EndpointTruncated: The text ends early or something follows it, as when a time limit strikes half-way.
        EndpointRefused: It is JSON, but no answer to this query.
    """
    try:
        # strict=False: some engines write control characters into strings as they are
        content = json.loads(body, strict=False)
    except (ValueError, RecursionError) as error:
        raise EndpointTruncated(
            f"the answer of {host} is cut off or damaged after {len(body)} bytes; ask about fewer items"
        ) from error
    try:
        answer = _Answer.model_validate(content)
    except ValidationError as error:
        if isinstance(content, dict) and is_heavy(str(content.get("exception") or content.get("error") or "")):
            raise EndpointTruncated(f"{host} says that the query took too long; ask about fewer items") from error
        raise EndpointRefused(
            f"{host} answered with JSON that is no SPARQL result ({error.errors()[0]['msg']}); check KGEDIT_ENDPOINT"
        ) from error
    rows, told = answer.results.bindings, answer.head.vars
    # An answer without rows is one only if it says that it is about what was asked.
    missing = [name for name in variables if name not in told]
    if missing and (told or not rows):
        raise EndpointRefused(
            f"{host} answered about {show(', '.join(told))} and not about {missing[0]}, which was asked; "
            "check KGEDIT_ENDPOINT"
        )
    return rows
