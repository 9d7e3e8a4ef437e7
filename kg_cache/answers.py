"""The rows of a SPARQL answer, checked on arrival."""

from __future__ import annotations

import json
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kg_cache.errors import EndpointRefused, EndpointTruncated


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


class _Bindings(BaseModel):
    bindings: list[Row]


class _Answer(BaseModel):
    results: _Bindings


def read_answer(body: bytes, host: str) -> list[Row]:
    """The rows of an answer in SPARQL 1.1 JSON.

    Raises:
        EndpointTruncated: The text ends early or something follows it, as when a time limit strikes half-way.
        EndpointRefused: It is JSON, but no answer to a SELECT.
    """
    try:
        # strict=False: some engines write control characters into strings as they are
        content = json.loads(body, strict=False)
    except (ValueError, RecursionError) as error:
        raise EndpointTruncated(
            f"the answer of {host} is cut off or damaged after {len(body)} bytes; ask about fewer items"
        ) from error
    try:
        return _Answer.model_validate(content).results.bindings
    except ValidationError as error:
        raise EndpointRefused(
            f"{host} answered with JSON that is no SPARQL result ({error.errors()[0]['msg']}); check KGEDIT_ENDPOINT"
        ) from error
