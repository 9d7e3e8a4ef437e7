import threading
from pathlib import Path

import pytest

from kg_cache.errors import InvalidId, StoreError
from kg_cache.graph import Entity, KnowledgeGraph, Triple
from kg_cache.store import Fetched, Store


def test_neighbours_come_by_number_for_each_item_in_the_order_asked(filled: Store) -> None:
    found = filled.neighbours(["Q183", "Q937", "Q183"])
    assert found.triples == (
        Triple("Q183", "P30", "Q46"), Triple("Q183", "P36", "Q64"),
        Triple("Q937", "P19", "Q3012"), Triple("Q937", "P27", "Q39"), Triple("Q937", "P27", "Q183"),
        Triple("Q937", "P106", "Q169470"),
    )  # fmt: skip
    assert (found.partial, found.missing, found.source) == (frozenset(), frozenset(), "facts")


def test_what_a_limit_cuts_is_said(filled: Store) -> None:
    found = filled.neighbours(["Q937", "Q39"], limit=2)
    assert [t.relation for t in found.triples if t.subject == "Q937"] == ["P19", "P27"]
    assert found.partial == {"Q937"}
    assert filled.neighbours(["Q937"], limit=4).partial == frozenset()


def test_a_negative_limit_is_refused(filled: Store) -> None:
    for ask in (filled.neighbours, filled.incoming):
        assert ask(["Q183"], limit=0).partial == {"Q183"}
        with pytest.raises(ValueError, match="negative"):
            ask(["Q183"], limit=-1)


def test_an_item_without_claims_differs_from_an_unknown_one(filled: Store) -> None:
    found = filled.neighbours(["Q46", "Q999"])
    assert found.triples == ()
    assert found.missing == {"Q999"}


def test_incoming(filled: Store) -> None:
    found = filled.incoming(["Q183"])
    assert found.triples == (
        Triple("Q64", "P17", "Q183"), Triple("Q3012", "P17", "Q183"), Triple("Q937", "P27", "Q183"),
    )  # fmt: skip
    assert filled.incoming(["Q183"], limit=1).partial == {"Q183"}


def test_labels_of_items_and_properties_fall_back_to_the_id(filled: Store) -> None:
    assert filled.labels(["Q937", "P27", "Q5", "P5"]) == {
        "Q937": "Albert Einstein", "P27": "country of citizenship", "Q5": "Q5", "P5": "P5",
    }  # fmt: skip
    assert filled.aliases("Q937") == ("Einstein", "A. Einstein")


@pytest.mark.parametrize(
    "label",
    [
        'say "hi"',
        "two\nlines",
        "\u202eright to left",
        "👩🏽‍🔬",
        "nul\x00inside",
        "x" * 10_000,
        "'; DROP TABLE triple; --",
    ],
)
def test_any_label_is_kept_as_it_is(store: Store, label: str) -> None:
    store.add(entities=[Entity(id="Q1", label=label, aliases=(label + "!",))])
    assert store.labels(["Q1"]) == {"Q1": label}
    assert store.resolve(label + "!").matched == label + "!"


def test_a_lone_surrogate_cannot_break_the_store(store: Store) -> None:
    store.add(entities=[Entity.model_construct(id="Q1", label="half \ud83d", aliases=())])
    assert store.labels(["Q1"]) == {"Q1": "half ?"}


def test_names_are_replaced_and_facts_are_not_doubled(filled: Store) -> None:
    before = filled.provenance()
    filled.add([Triple("Q937", "P27", "Q39")], [Entity(id="Q937", label="Einstein")], "again")
    assert filled.labels(["Q937"]) == {"Q937": "Einstein"}
    assert filled.aliases("Q937") == ()
    after = filled.provenance()
    assert (after["triples"], after["entities"]) == (before["triples"], before["entities"])
    assert list(after["sources"]) == ["test", "again"]  # type: ignore[call-overload]


def test_a_new_fetch_drops_claims_that_no_longer_hold(filled: Store) -> None:
    filled.add([Triple("Q183", "P36", "Q1726")], fetched=[Fetched("Q183", "complete")])
    assert filled.neighbours(["Q183"]).triples == (Triple("Q183", "P36", "Q1726"),)


def test_a_fetch_that_was_cut_stays_partial(filled: Store) -> None:
    filled.add(fetched=[Fetched("Q46", "partial", cut=7), Fetched("Q47", "missing")])
    found = filled.neighbours(["Q46", "Q47"])
    assert (found.partial, found.missing) == ({"Q46"}, {"Q47"})
    assert filled.unfetched(["Q46", "Q47", "Q48", "Q48"]) == ["Q48"]


def test_a_merged_item_answers_under_the_id_that_was_asked(filled: Store) -> None:
    filled.add(fetched=[Fetched("Q7", "redirect", target="Q39")])
    assert filled.neighbours(["Q7"]).triples == (Triple("Q7", "P36", "Q70"),)
    assert filled.labels(["Q7"]) == {"Q7": "Switzerland"}
    assert filled.resolve("Q7").id == "Q39"


@pytest.mark.parametrize("bad", [Triple("Q1", "P1", "Q1 }"), Triple("Q1", "Q1", "Q1"), Triple("P1", "P1", "Q1")])
def test_one_bad_id_stores_nothing(filled: Store, bad: Triple) -> None:
    before = list(filled.triples())
    with pytest.raises(InvalidId):
        filled.add([Triple("Q5", "P5", "Q5"), bad], [Entity(id="Q5", label="five")])
    assert list(filled.triples()) == before
    assert not filled.knows("Q5")


@pytest.mark.parametrize("ask", [Store.neighbours, Store.incoming, Store.labels])
def test_questions_check_ids(filled: Store, ask) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidId):
        ask(filled, ["Q1 } UNION"])


def test_facts_survive_closing(tmp_path: Path, filled: Store) -> None:
    filled.close()
    with Store.open(filled.path, read_only=True) as again:
        assert again.labels(["Q937"]) == {"Q937": "Albert Einstein"}
        with pytest.raises(StoreError, match="read-only"):
            again.add([Triple("Q1", "P1", "Q1")])


def test_reading_a_store_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        Store(tmp_path / "none.sqlite", read_only=True)
    assert not (tmp_path / "none.sqlite").exists()


def test_threads_may_share_a_store(filled: Store) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 20):
            filled.add([Triple(f"Q{number}", "P1", "Q1")])
            assert filled.neighbours(["Q937"]).triples

    threads = [threading.Thread(target=write, args=(start,)) for start in (1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(filled.incoming(["Q1"]).triples) == 60


def test_the_store_answers_every_question_of_a_graph(filled: Store) -> None:
    graph: KnowledgeGraph = filled
    assert graph.name == "facts"
    assert graph.provenance()["triples"] == 9
