from kg_cache.text import fold, show, storable


def test_foreign_text_cannot_act_in_a_message() -> None:
    shown = show("a\x1b[31m\u202eb\n" + "x" * 500)
    assert shown.isprintable()
    assert len(shown) < 160


def test_names_are_compared_without_case_and_composition() -> None:
    assert fold("CAFE\u0301") == fold("caf\u00e9")
    assert fold("STRASSE") == fold("Straße")


def test_a_lone_surrogate_is_made_storable() -> None:
    assert storable("a\udcffb") == "a?b"
