import pytest

from kg_cache.text import fold, printable, show, storable


def test_foreign_text_cannot_act_in_a_message() -> None:
    shown = show("a\x1b[31m\u202eb\n" + "x" * 500)
    assert shown.isprintable()
    assert len(shown) < 160


def test_names_are_compared_without_case_and_composition() -> None:
    assert fold("CAFE\u0301") == fold("caf\u00e9")
    assert fold("STRASSE") == fold("Straße")


def test_a_lone_surrogate_is_made_storable() -> None:
    assert storable("a\udcffb") == "a?b"


@pytest.mark.parametrize("sign", ["\x1b", "\x00", "\r", "\x9b", "\u202e", "\u2066", "\u200f", "\ud800"])
def test_what_would_steer_a_terminal_is_escaped(sign: str) -> None:
    assert printable(f"Ada{sign}[2J") == f"Ada\\u{ord(sign):04x}[2J"


def test_letters_of_every_script_stay() -> None:
    text = "Ada Ünal\tعمر 北京 👩\u200d🔬\n"
    assert printable(text) == text
