"""How long the workbench lets somebody wait: its page and the journal of a large store, in a real browser.

    python -m benchmarks.workbench --changes 10000

Needs the extras `workbench` and `test` and Chromium. The changes are made up and wait for review; the model is the
bundled one. Each figure is the median over several tries, and the longest of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from kg_cache.bundled import bundled_store
from kg_cache.search import search_items
from kgedit.delta import DeltaStack
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.ingest.change import change_key, slot_key
from kgedit.ingest.store.entry import PlannedEdit, Received
from kgedit.ingest.store.store import open_store
from kgedit.workbench.listing import Listing
from kgedit.workbench.server import serving

CHROMIUM = "/usr/bin/chromium"
NAME, WORDS = "albert einstein", "citizenship 77"
_TRIES = 5


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10_000, help="changes of the store")
    parser.add_argument("--browser", default=CHROMIUM, help="Chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = filled(Path(folder) / "store", arguments.changes)
        with serving("mini", method="rome", moments="identity", store=store) as served, opened(arguments) as browser:
            rows = measured(browser, served.url) | answering(store)
    print(f"{arguments.changes} changes, {_TRIES} tries; milliseconds: median, longest")
    for name, found in rows.items():
        print(f"{name:40} {1000 * median(found):8.0f} {1000 * max(found):8.0f}")


def filled(store: Path, number: int) -> Path:
    """A store with so many changes that wait."""
    graph = bundled_store()
    people = list(dict.fromkeys(triple.subject for triple in graph.triples() if triple.relation == "P27"))
    changes = []
    for place in range(number):
        edit = Edit(subject=people[place % len(people)], relation=f"P{27 + place // len(people)}", target_new="Q142")
        planned = PlannedEdit(edit=edit, notes=(f"made up, number {place}",))
        changes.append(Received(key=change_key(edit), slot=slot_key(edit), change=planned))
    model = Editor.from_pretrained("mini", method=None).model
    with open_store(store, write=True) as opened_store:
        opened_store.bind("mini", DeltaStack(model).hash_unedited())
        received = opened_store.journal.receive(changes)
    if received != number:
        raise SystemExit(f"only {received} different changes could be made up")
    return store


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        yield browser
        browser.close()


def measured(browser: Any, url: str) -> dict[str, list[float]]:
    """What is waited for -> seconds of each try, each in a window of its own."""
    found: dict[str, list[float]] = {}
    for _ in range(_TRIES):
        page = browser.new_page()
        subject = page.get_by_role("textbox", name="Subject", exact=True)
        with _timed(found, "page, until its first field is there"):
            page.goto(url)
            subject.wait_for()
        for letter in NAME:
            with _timed(found, "search of an item, a key"):
                _key(page, subject, letter)
        with _timed(found, "journal, until its list is there"):
            page.get_by_role("tab", name="Journal").click()
            page.get_by_text("the newest first").wait_for()
        box = page.get_by_role("textbox", name="Search", exact=True)
        for letter in WORDS:
            with _timed(found, "search of the journal, a key"):
                _key(page, box, letter)
        page.close()
    return found


def answering(store: Path) -> dict[str, list[float]]:
    """Processor seconds of the answers alone, without browser and page."""
    found: dict[str, list[float]] = {}
    graph = bundled_store()
    listing = Listing(store, graph)
    for name, texts, answer in (
        ("processor: list, read the first time", [""], lambda text: listing.fitting("all", text)),
        ("processor: search of the journal, a key", _begun(WORDS), lambda text: listing.fitting("all", text)),
        ("processor: search of an item, a key", _begun(NAME), lambda text: search_items(graph, text, limit=5)),
    ):
        for text in texts:
            started = time.process_time()
            answer(text)
            found.setdefault(name, []).append(time.process_time() - started)
    return found


def _begun(text: str) -> list[str]:
    return [text[: length + 1] for length in range(len(text))]


def _key(page: Any, box: Any, letter: str) -> None:
    """One key, until its answer is there and painted."""
    with page.expect_response(lambda response: "/run/" in response.url):
        box.press(letter if letter != " " else "Space")
    page.evaluate("new Promise(painted => requestAnimationFrame(() => requestAnimationFrame(painted)))")


@contextmanager
def _timed(found: dict[str, list[float]], name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    found.setdefault(name, []).append(time.monotonic() - started)


if __name__ == "__main__":
    main()
