"""The bundled model and graph, once for all tests that only ask them."""

from __future__ import annotations

import pytest

from kgedit.editor import Editor


@pytest.fixture(scope="session")
def mini() -> Editor:
    """The bundled model with the bundled graph; tests here leave it as it is."""
    return Editor.from_pretrained("mini", method="rome")
