import pytest

from kg_cache.errors import AmbiguousLabel, UnknownEntity, UnknownRelation
from kg_cache.graph import Entity, Relation, Triple
from kg_cache.store import Store


def test_id_label_and_alias(filled: Store) -> None:
    for text, kind in (
        ("Q937", "id"),
        ("Albert Einstein", "label"),
        ("A. Einstein", "alias"),
        (" Q937 ", "id"),
    ):
        found = filled.resolve(text)
        assert (found.id, found.label, found.kind, found.links) == ("Q937", "Albert Einstein", kind, 4)


def test_case_decides_only_when_the_exact_text_is_nobodys_name(filled: Store) -> None:
    assert filled.resolve("ALBERT EINSTEIN").id == "Q937"
    filled.add(entities=[Entity(id="Q5", label="BERLIN")])
    assert filled.resolve("Berlin").id == "Q64"
    with pytest.raises(AmbiguousLabel):
        filled.resolve("berlin")


def test_an_id_in_lower_case_is_one_unless_it_is_a_name(filled: Store) -> None:
    found = filled.resolve("q937")
    assert (found.id, found.kind, found.matched) == ("Q937", "id", "Q937")
    assert filled.resolve_relation("p19").id == "P19"
    filled.add(entities=[Entity(id="Q5", label="Coenzyme", aliases=("q64",))])
    assert filled.resolve("q64").id == "Q5"
    assert filled.resolve("Q64").label == "Berlin"
    with pytest.raises(UnknownEntity, match="'q123456' is called|is called 'q123456'"):
        filled.resolve("q123456")


@pytest.mark.parametrize("text", ["Schr\udcc3\udcb6dinger", "\ud800", "A\udfff"])
def test_a_name_that_is_no_unicode_is_nobodys(filled: Store, text: str) -> None:
    filled.add(entities=[Entity(id="Q5", label="?")])
    with pytest.raises(UnknownEntity, match=r"is called .*\\u"):
        filled.resolve(text)
    with pytest.raises(UnknownRelation):
        filled.resolve_relation(text)
    assert filled.names_with(text) == []


def test_composed_and_decomposed_letters_are_the_same_when_case_is_ignored(store: Store) -> None:
    store.add(entities=[Entity(id="Q1", label="Zürich")])
    assert store.resolve("Zu\u0308rich").id == "Q1"


def test_two_labels_are_ambiguous_and_listed_with_what_they_are(filled: Store) -> None:
    filled.add([Triple("Q5", "P17", "Q30")], [Entity(id="Q5", label="Germany")])
    with pytest.raises(
        AmbiguousLabel, match=r"Q183 \(5 links; continent Europe; capital Berlin\), Q5 \(1 link; "
    ) as caught:
        filled.resolve("Germany")
    assert caught.value.candidates == ["Q183", "Q5"]


def test_of_two_labels_one_that_is_thirty_times_better_linked_is_taken_with_a_note(filled: Store) -> None:
    filled.add(
        [Triple("Q5", "P17", "Q30"), *(Triple(f"Q{number}", "P27", "Q183") for number in range(1000, 1024))],
        [Entity(id="Q5", label="Germany")],
    )
    with pytest.raises(AmbiguousLabel):  # 29 links against 1
        filled.resolve("Germany")
    filled.add([Triple("Q1024", "P27", "Q183")])
    found = filled.resolve("Germany")
    assert (found.id, found.also) == ("Q183", ("Q5",))
    assert "best linked of 2 items: Q183 (30 links; continent Europe" in found.note
    assert filled.resolve("Switzerland").note == ""


def test_an_item_without_facts_of_its_own_is_told_by_one_about_it(filled: Store) -> None:
    filled.add([Triple("Q6", "P36", "Q5")], [Entity(id="Q5", label="Ulm"), Entity(id="Q6", label="Atlantis")])
    with pytest.raises(AmbiguousLabel, match=r"Q5 \(1 link; capital of Atlantis\)"):
        filled.resolve("Ulm")


def test_a_label_beats_an_alias_and_says_whom(filled: Store) -> None:
    filled.add(entities=[Entity(id="Q5", label="a pet", aliases=("Germany",))])
    found = filled.resolve("Germany")
    assert (found.id, found.kind, found.also) == ("Q183", "label", ("Q5",))


def test_an_alias_wins_by_links_only_when_it_is_clear(filled: Store) -> None:
    filled.add(entities=[Entity(id="Q5", label="a pet", aliases=("Deutschland", "Bern", "twin"))])
    assert filled.resolve("Deutschland").also == ("Q5",)
    filled.add([Triple("Q6", "P17", "Q5")], [Entity(id="Q6", label="another pet", aliases=("twin",))])
    with pytest.raises(AmbiguousLabel, match=r"Q5 \(1 link; .*Q6 \(1 link; "):
        filled.resolve("twin")
    filled.add([Triple("Q5", "P17", "Q183")])
    with pytest.raises(AmbiguousLabel, match=r"Q5 \(2 links; .*Q6 \(1 link; "):
        filled.resolve("twin")
    filled.add([Triple("Q5", "P17", "Q39")])
    assert filled.resolve("twin").id == "Q5"


def test_one_item_with_the_same_label_and_alias_is_not_ambiguous(store: Store) -> None:
    store.add(entities=[Entity(id="Q1", label="Bern", aliases=("Bern", "bern"))])
    assert store.resolve("Bern").kind == "label"


def test_an_unknown_name_suggests_near_ones(filled: Store) -> None:
    with pytest.raises(UnknownEntity, match="did you mean 'Albert Einstein'"):
        filled.resolve("Albert Einstien")
    with pytest.raises(UnknownEntity, match="matched exactly"):
        filled.resolve("%_\x00 zzz")
    with pytest.raises(UnknownEntity, match="Q424242 is not in facts"):
        filled.resolve("Q424242")


def test_relations(filled: Store) -> None:
    for text in ("P27", "country of citizenship", "Country of Citizenship"):
        assert filled.resolve_relation(text) == Relation(id="P27", label="country of citizenship")
    with pytest.raises(UnknownRelation, match="did you mean .*'country of citizenship'"):
        filled.resolve_relation("citizenship country")
    filled.add(relations=[Relation(id="P99", label="capital")])
    with pytest.raises(AmbiguousLabel, match=r"P36 \(capital\), P99 \(capital\)"):
        filled.resolve_relation("capital")


def test_aliases_of_properties_are_names_of_them(filled: Store) -> None:
    citizenship = Relation(id="P27", label="country of citizenship", aliases=("nationality", "citizen of"))
    filled.add(relations=[citizenship, Relation(id="P6", label="head of government", aliases=("capital",))])
    assert filled.resolve_relation("Nationality") == citizenship
    assert filled.resolve_relation("capital").id == "P36"
    assert filled.aliases("P27") == ("nationality", "citizen of")
    with pytest.raises(UnknownEntity):  # the name of a property is none of an item
        filled.resolve("nationality")
    with pytest.raises(UnknownRelation, match="did you mean 'nationality'"):
        filled.resolve_relation("nationalty")
    filled.add(relations=[Relation(id="P27", label="country of citizenship")])
    with pytest.raises(UnknownRelation):
        filled.resolve_relation("nationality")
