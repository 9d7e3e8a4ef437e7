"""Other writers, damage, a full disk and sudden death, all of them real: what a store then does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kg_cache.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from kg_cache.graph import Triple
from kg_cache.store import Store


def child(code: str, path: Path, **pipes: object) -> subprocess.Popen[str]:
    """A process that runs `code` with `path` and the store's names at hand."""
    frame = "import sys, resource, time\nfrom pathlib import Path\nfrom kg_cache.errors import *\n"
    frame += "from kg_cache.graph import Triple\nfrom kg_cache.store import Store\npath = Path(sys.argv[1])\n"
    return subprocess.Popen(
        [sys.executable, "-c", frame + textwrap.dedent(code), str(path)],
        text=True, stdout=subprocess.PIPE, stdin=subprocess.PIPE, **pipes,
    )  # fmt: skip


def test_a_second_writer_is_told_who_writes(filled: Store) -> None:
    writer = child(
        """
        store = Store(path)
        with store.database.writing():
            print("holding", flush=True)
            sys.stdin.readline()
        """,
        filled.path,
    )
    assert writer.stdout
    assert writer.stdout.readline() == "holding\n"
    with Store(filled.path, wait=0.2) as second:
        with pytest.raises(StoreLocked, match=f"process {writer.pid} is writing"):
            second.add([Triple("Q1", "P1", "Q1")])
        assert len(second.neighbours(["Q937"]).triples) == 4  # reading goes on meanwhile
    writer.communicate("done\n")
    filled.add([Triple("Q1", "P1", "Q1")])
    assert filled.knows("Q1")


def test_a_foreign_sqlite_writer_is_noticed_too(filled: Store) -> None:
    other = sqlite3.connect(filled.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Store(filled.path, wait=0.1) as second, pytest.raises(StoreLocked, match="another process"):
        second.add([Triple("Q1", "P1", "Q1")])
    other.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"this is no database" * 400,
        lambda data: data[:4096] + os.urandom(len(data) - 4096),
        lambda data: data[:16] + b"\xff" * 84 + data[100:],
    ],
    ids=["truncated", "text", "noise", "header"],
)
def test_damage_is_found_on_opening(filled: Store, damage) -> None:  # type: ignore[no-untyped-def]
    filled.close()
    damaged = damage(filled.path.read_bytes())
    filled.path.write_bytes(damaged)
    for read_only in (True, False):
        with pytest.raises(StoreCorrupt, match="move it away"):
            Store(filled.path, read_only=read_only)
    assert filled.path.read_bytes() == damaged


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="not a kg_cache store"):
        Store(path)
    assert path.read_bytes() == before


def test_a_store_of_another_version_is_refused(filled: Store) -> None:
    filled.close()
    with sqlite3.connect(filled.path) as raw:
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        Store(filled.path)


def test_a_full_disk_changes_nothing(filled: Store) -> None:
    before = list(filled.triples())
    filled.close()
    full = child(
        """
        store = Store(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))  # files may not grow beyond this
        try:
            store.add(Triple(f"Q{n}", "P1", "Q1") for n in range(1, 50_000))
        except StoreFull as error:
            print("full:", error, flush=True)
        print(len(list(store.triples())), flush=True)
        """,
        filled.path,
    )
    said, _ = full.communicate(timeout=200)
    assert said.startswith("full: ")
    assert "free disk space" in said
    assert said.rstrip().endswith(f"\n{len(before)}")
    with Store(filled.path) as again:
        assert list(again.triples()) == before
        again.add([Triple("Q1", "P1", "Q1")])


def test_no_store_can_be_made_where_no_file_can_grow(tmp_path: Path) -> None:
    nowhere = child(
        """
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            Store(path)
        except StoreError as error:
            print(type(error).__name__, flush=True)
        """,
        tmp_path / "new.sqlite",
    )
    assert nowhere.communicate(timeout=200)[0] == f"{StoreFull.__name__}\n"


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="KGEDIT_CACHE_DIR"):
        Store(tmp_path / "file" / "facts.sqlite")


def test_an_interrupted_write_is_taken_back(filled: Store) -> None:
    before = list(filled.triples())

    def interrupted() -> None:
        with filled.database.writing():
            filled.database.execute("DELETE FROM triple")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(filled.triples()) == before
    filled.add([Triple("Q1", "P1", "Q1")])


def test_a_killed_writer_leaves_whole_transactions(filled: Store) -> None:
    known = len(list(filled.triples()))
    writer = child(
        """
        store = Store(path)
        for batch in range(1, 10_000):
            store.add(Triple(f"Q{batch}000{n}", "P1", "Q1") for n in range(1, 8))
            print(batch, flush=True)
        """,
        filled.path,
    )
    assert writer.stdout
    acknowledged = [writer.stdout.readline() for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    with Store(filled.path) as again:
        written = len(list(again.triples())) - known
        assert written % 7 == 0
        assert written >= 7 * len(acknowledged)
        again.add([Triple("Q1", "P1", "Q1")])  # the dead writer's lock does not stay


def test_several_processes_may_create_one_store(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    makers = [child("Store(path).add([Triple('Q1', 'P1', 'Q2')], source=sys.stdin.readline())", path) for _ in "abc"]
    for maker, name in zip(makers, "abc", strict=True):
        maker.communicate(name, timeout=200)
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    with Store(path) as store:
        assert store.provenance()["triples"] == 1
        assert set(store.provenance()["sources"]) == {"a", "b", "c"}  # type: ignore[call-overload]
