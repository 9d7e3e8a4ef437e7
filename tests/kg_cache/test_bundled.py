import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kg_cache import bundled
from kg_cache.bundled import bundled_store
from kg_cache.checksum import checksum_path
from kg_cache.errors import StoreError
from kg_cache.graph import Triple
from kg_cache.store import Store


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def snapshot(cache: Path) -> Store:
    started = time.process_time()
    store = bundled_store(cache)
    assert time.process_time() - started < 3
    return store


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A snapshot of three lines, for what would take long with the real one."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "triples.tsv").write_text("Q64\tP17\tQ183\n")
    (folder / "entities.tsv").write_text("Q64\tBerlin\tAthens of the Spree|Berlin, Germany\nQ183\tGermany\n")
    (folder / "relations.tsv").write_text("P17\tcountry\n")
    return folder


def test_the_snapshot_is_large_and_labelled(snapshot: Store) -> None:
    triples = list(snapshot.triples())
    relations = {triple.relation for triple in triples}
    items = {id for triple in triples for id in (triple.subject, triple.object)}
    assert len(triples) >= 60_000
    assert len(relations) >= 60
    assert snapshot.unnamed(items | relations) == []


def test_the_snapshot_answers_real_questions(snapshot: Store) -> None:
    einstein = snapshot.resolve("Albert Einstein")
    assert einstein.id == "Q937"
    assert Triple("Q937", "P19", "Q3012") in snapshot.neighbours(["Q937"]).triples
    assert snapshot.resolve_relation("place of birth").id == "P19"
    assert snapshot.labels(["Q3012"]) == {"Q3012": "Ulm"}


def test_an_answer_takes_less_than_five_milliseconds(snapshot: Store) -> None:
    snapshot.neighbours(["Q30"])
    started = time.process_time()
    for _ in range(20):
        snapshot.neighbours(["Q30", "Q937", "Q183"])
    assert (time.process_time() - started) / 20 < 0.005


def test_it_is_built_once_and_named_by_its_content(cache: Path, snapshot: Store) -> None:
    built = snapshot.path.stat().st_mtime_ns
    with bundled_store(cache) as again:
        assert again.path.stat().st_mtime_ns == built
    assert snapshot.path.name == f"snapshot-{bundled.snapshot_hash()[:12]}.sqlite"
    assert bundled.snapshot_hash() in str(snapshot.provenance()["sources"])
    with pytest.raises(StoreError, match="read-only"):
        snapshot.add([Triple("Q1", "P1", "Q1")])


def test_a_damaged_build_is_set_aside_and_made_again(tmp_path: Path, small: Path) -> None:
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        path = store.path
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.warns(UserWarning, match="built anew"), bundled_store(tmp_path / "cache", snapshot=small) as store:
        assert store.resolve("Athens of the Spree").id == "Q64"
    assert path.with_suffix(".damaged").exists()
    assert not list(path.parent.glob("*.partial*"))


def test_processes_may_build_it_at_the_same_time(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import sys; from kg_cache.bundled import bundled_store\n"
        "print(len(bundled_store(Path(sys.argv[1])).neighbours(['Q937']).triples))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = {run.communicate(timeout=200)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert len(said) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".sha256", ".sqlite"]


def test_a_cache_folder_that_cannot_be_is_named(tmp_path: Path, small: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="KGEDIT_CACHE_DIR"):
        bundled_store(tmp_path / "file" / "cache", snapshot=small)


def test_the_settings_choose_the_folder(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGEDIT_CACHE_DIR", str(tmp_path / "chosen"))
    with bundled_store(snapshot=small) as store:
        assert store.path.parent == tmp_path / "chosen"


def contents(store: Store) -> object:
    """Everything that a graph is asked for."""
    triples = sorted(store.triples())
    items = sorted({id for triple in triples for id in (triple.subject, triple.object)})
    return triples, store.labels([*items, "P17"]), [store.aliases(item) for item in items], store.names("Berlin")


def test_no_flipped_bit_changes_what_the_graph_says(tmp_path: Path, small: Path) -> None:
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        path, whole = store.path, contents(store)
    original = path.read_bytes()
    text = original.index(b"Athens of the Spree")
    draw = random.Random(0)
    for place in (text, *(draw.randrange(len(original)) for _ in range(24))):
        damaged = bytearray(original)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged.*built anew"):
            again = bundled_store(tmp_path / "cache", snapshot=small)
        with again:
            assert contents(again) == whole, place


def test_a_flipped_checksum_costs_a_build_and_nothing_else(tmp_path: Path, small: Path) -> None:
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        path, whole = store.path, contents(store)
    checksum_path(path).write_bytes(b"\xff" + checksum_path(path).read_bytes()[1:])
    with pytest.warns(UserWarning, match="built anew"), bundled_store(tmp_path / "cache", snapshot=small) as store:
        assert contents(store) == whole
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        assert contents(store) == whole


def test_a_file_without_checksum_is_built_anew_or_read_where_nobody_may_write(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        path, whole = store.path, contents(store)
    checksum_path(path).unlink()
    damaged = path.read_bytes().replace(b"Berlin, Germany", b"Berlin, Gurmany")
    path.write_bytes(damaged)
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        assert contents(store) == whole
    checksum_path(path).unlink()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(bundled, "exclusive", refuse)
    with bundled_store(tmp_path / "cache", snapshot=small) as store:
        assert contents(store) == whole
