"""One workbench of the bundled model, and one browser, for all tests of a process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.stores import edited_store
from kg_cache.bundled import bundled_store
from kg_cache.graph import Entity, Triple
from kg_cache.store import Store

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "Zzyzx <img src=x onerror=\"document.title='taken'\"> \u202egnirts"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page over the bundled graph, with an item of a hostile name, and a store with two changes."""
    pytest.importorskip("gradio", reason="the extra `workbench` is not installed")
    from kgedit.workbench.server import serving

    graph = tmp_path_factory.mktemp("workbench") / "facts.sqlite"
    shutil.copy(bundled_store().path, graph)
    with Store.open(graph) as store:
        store.add([Triple("Q999000001", "P27", "Q142")], [Entity(id="Q999000001", label=HOSTILE)], "test")
    store = edited_store(graph.parent / "store")
    with serving("mini", method="rome", graph=graph, moments="identity", store=store) as page:
        yield page


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium; nothing is downloaded."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}; on Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(served: Any, browser: Any) -> Iterator[Any]:
    """The page in a window of its own; whatever it asks of another host, or fails at, is an error."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(120_000)  # on a busy machine, too; also of a second window
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(served.url)
    yield page
    context.close()
    assert faults == []
    assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
