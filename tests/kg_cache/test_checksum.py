"""A store that nobody writes to has a checksum, and no byte of it can change without a word."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from kg_cache.checksum import checksum_path, is_damaged, is_sealed, seal
from kg_cache.errors import StoreCorrupt
from kg_cache.graph import Entity, Triple
from kg_cache.store import Store

TRIPLES = [Triple("Q64", "P17", "Q183"), Triple("Q90", "P17", "Q142")]
ENTITIES = [
    Entity(id=id, label=label)
    for id, label in [("Q64", "Berlin"), ("Q183", "Germany"), ("Q90", "Paris"), ("Q142", "France")]
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "facts.sqlite"
    with Store(path) as store:
        store.add(TRIPLES, ENTITIES)
    return path


def test_every_flipped_bit_is_an_error_with_the_way_back(path: Path) -> None:
    original = path.read_bytes()
    draw = random.Random(0)
    for place in (original.index(b"France") + 1, *(draw.randrange(len(original)) for _ in range(30))):
        damaged = bytearray(original)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        for read_only in (True, False):
            with pytest.raises(StoreCorrupt, match=r"damaged.*refetch, import or restore.*facts.sqlite.sha256"):
                Store(path, read_only=read_only)
    path.write_bytes(original)
    with Store(path, read_only=True) as store:
        assert store.labels(["Q142"]) == {"Q142": "France"}


def test_the_checksum_is_away_while_somebody_writes_and_back_when_all_have_closed(path: Path) -> None:
    first, second = Store(path), Store(path)
    assert is_sealed(path)
    first.add([Triple("Q1", "P17", "Q30")])
    assert not is_sealed(path)
    second.add([Triple("Q2", "P17", "Q30")])
    with Store(path, read_only=True) as reader:
        assert len(list(reader.triples())) == 4
    first.close()
    second.close()
    assert is_sealed(path)
    assert not is_damaged(path)
    with Store(path) as store:
        assert len(list(store.triples())) == 4
    assert not is_damaged(path)


def test_a_killed_writer_leaves_a_store_that_opens(path: Path) -> None:
    if not (child := os.fork()):
        Store(path).add([Triple("Q1", "P17", "Q30")])
        os._exit(0)
    os.waitpid(child, 0)
    assert not is_sealed(path)
    with Store(path) as store:
        assert len(list(store.triples())) == 3
        store.add([Triple("Q2", "P17", "Q30")])
    assert is_sealed(path)
    assert not is_damaged(path)


def test_a_store_that_was_written_once_may_be_written_to_in_the_other_mode(tmp_path: Path) -> None:
    path = tmp_path / "once.sqlite"
    with Store(path, wal=False) as store:
        store.add(TRIPLES, ENTITIES)
    assert is_sealed(path)
    with Store(path):
        pass
    with Store(path, read_only=True) as store:
        assert sorted(store.triples()) == sorted(TRIPLES)


def test_a_writer_between_checksum_and_file_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kg_cache import checksum

    real = checksum._sha256

    def while_written(path: Path) -> str:
        monkeypatch.setattr(checksum, "_sha256", real)
        with Store(path) as store:
            store.add([Triple("Q1", "P17", "Q30")])
        return "of a moment in between"

    monkeypatch.setattr(checksum, "_sha256", while_written)
    assert not is_damaged(path)


def test_a_copy_without_checksum_opens(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(path.read_bytes())
    with Store(copy, read_only=True) as store:
        assert len(list(store.triples())) == 2
    assert not is_sealed(copy)
    seal(copy)
    assert checksum_path(copy).read_text() == checksum_path(path).read_text()
