"""Texts with invented attributes: each has one right answer, and it is the one that is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kgedit.graph.verbalize import Verbalizer
from kgedit.methods.base import Request
from kgedit.methods.invented import invented_texts

TEXT = Verbalizer.bundled()
EDIT = Request("Peru", "The capital of {} is", "Lyon", "P36")
ALIKE = [("Chile", "Santiago"), ("Cuba", "Havana")]


@given(st.sampled_from(sorted(TEXT.texts)), st.integers(0, 999))
def test_the_answer_is_what_the_text_and_the_edit_say(relation: str, number: int) -> None:
    edit = Request(f"Subject{number}", TEXT[relation].cloze[0], "Object", relation)
    texts = invented_texts(edit, [("Other", "Thing")], TEXT)
    assert len(texts) == 6
    for prompt, answer in texts[::2]:
        # "Subject7 is in green, Other in red. The one in green was born in": the second hop.
        shown, _, asked = prompt.partition(". ")
        places = dict(part.replace(" is ", " ").split(" ", 1) for part in shown.split(", "))
        assert f"he one {places[edit.subject]}" in asked
        assert (places.keys(), answer) == ({edit.subject, "Other"}, "Object")
    for prompt, answer in texts[1::2]:
        # "Thing is on card two, Object on card five. The place of birth of Subject7 is on card": the first hop.
        shown, _, asked = prompt.partition(". ")
        places = dict(part.replace(" is ", " ").split(" ", 1) for part in shown.split(", "))
        assert places.keys() == {"Object", "Thing"}
        assert places["Object"] != places["Thing"]
        assert asked.endswith(places["Object"].removesuffix(f" {answer}"))
        assert places["Object"].endswith(f" {answer}")
        assert edit.subject in asked
        assert "Object" not in asked


def test_the_same_edit_gives_the_same_texts_and_another_one_other_texts() -> None:
    assert invented_texts(EDIT, ALIKE, TEXT) == invented_texts(EDIT, ALIKE, TEXT)
    orders = {
        tuple(prompt.index("Lyon") < 3 for prompt, _ in invented_texts(edit, ALIKE, TEXT)[1::2])
        for edit in (Request(f"Land{n}", EDIT.prompt, "Lyon", "P36") for n in range(20))
    }
    assert len(orders) > 2, "neither the first thing nor the second is always the right one"


def test_without_wordings_or_anything_to_tell_it_from_there_is_no_text() -> None:
    assert invented_texts(Request("Peru", "The seat of {} is", "Lyon"), ALIKE, TEXT) == ()
    assert invented_texts(Request("Peru", "The seat of {} is", "Lyon", "P99999"), ALIKE, TEXT) == ()
    assert invented_texts(EDIT, [], TEXT) == ()
    assert invented_texts(EDIT, [("Peru", "Lima"), ("France", "Lyon")], TEXT) == (), "both would be right"
