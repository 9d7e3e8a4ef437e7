"""Every kind of feed that is registered has its tests."""

from __future__ import annotations

from pathlib import Path

from kgedit.ingest.feeds.base import FEEDS


def test_every_kind_of_feed_has_its_tests() -> None:
    files = {place.partition(":")[0] for place in FEEDS.values()}
    assert {name for name in files if not (Path(__file__).parent / f"test_{name}.py").is_file()} == set()
