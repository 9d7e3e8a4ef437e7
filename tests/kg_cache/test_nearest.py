import pytest

from kg_cache.bundled import bundled_store
from kg_cache.errors import UnknownEntity
from kg_cache.nearest import changes, nearest


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Frence", "France"),
        ("Grance", "France"),
        ("Rance", "France"),
        ("Lodnon", "London"),
        ("Nigera", "Nigeria"),
        ("albert einstien", "Albert Einstein"),
        ("Micheal Jackson", "Michael Jackson"),
        ("United Sates of America", "United States of America"),
    ],
)
def test_a_misspelt_item_is_answered_with_the_nearest_and_best_linked_name(text: str, meant: str) -> None:
    with bundled_store() as store, pytest.raises(UnknownEntity, match=f"did you mean '{meant}'"):
        store.resolve(text)


@pytest.mark.parametrize("text", ["Marie Curie", "Emmanuel Macron", "zzz"])
def test_another_item_is_no_misspelling(text: str) -> None:
    with bundled_store() as store, pytest.raises(UnknownEntity, match="matched exactly"):
        store.resolve(text)


def test_fewer_changed_letters_come_first_and_far_ones_are_left_out() -> None:
    assert nearest("edti", ["ingest", "exit", "edit"]) == ["edit"]
    assert nearest("Frence", ["Florence", "French", "France"]) == ["French", "France", "Florence"]
    assert nearest("xyz", ["edit"]) == []
    assert (changes("ab", "ba"), changes("abc", "abd"), changes("abc", "abcd")) == (1, 1, 1)
