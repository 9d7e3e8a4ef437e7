"""The bundled model with its graph, and changes of facts that it knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kgedit.editor import Editor
from kgedit.ingest.change import Change, Provenance
from kgedit.mini.cases import Casebook, MiniCase


@pytest.fixture(autouse=True, scope="module")
def _few_unrelated_facts() -> Iterator[None]:
    """What is asked at the end of each run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kgedit.ingest.final_measure.UNRELATED", 20)
        yield


@pytest.fixture(scope="session")
def mini() -> Editor:
    """The bundled model with the bundled graph; tests here leave it as it is."""
    return Editor.from_pretrained("mini", method="rome")


@pytest.fixture(scope="session")
def cases() -> list[MiniCase]:
    return Casebook().draw(6, seed=1001)


@pytest.fixture(scope="session")
def changes(cases: list[MiniCase]) -> list[Change]:
    seen = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Change(edit=case.edit, provenance=Provenance(feed="test", position=f"line {number}", seen=seen))
        for number, case in enumerate(cases, 1)
    ]
