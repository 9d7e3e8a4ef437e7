"""GRACE's radius rules and HoReN's query, by numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from kgedit.delta.codebook import Codebook, KeyedValue, Lookup
from kgedit.delta.prompt_ends import PromptPlace

GRACE = Lookup(radius=1.0, adapts=True, replaces=True)
ROME, OSLO = (1, 2), (3,)


def entry(x: float, y: float, label: tuple[int, ...], value: float) -> KeyedValue:
    return KeyedValue(torch.tensor([x, y]), torch.tensor([value]), label)


FIRST = entry(0, 0, ROME, 1)
FAR = entry(3, 0, OSLO, 2)  # 3 > 1 + 1: added
SAME = entry(1.4, 0, ROME, 3)  # 1.4 <= 1 + 1 and the same object: the first ball grows to 1.4
OTHER = entry(0, 1, OSLO, 4)  # 1 <= 1 + 1.4 and another object: both balls get half of 1
INSIDE = entry(0.2, 0, ROME, 5)  # 0.2 from the first, within its ball: nothing shrinks


def answers(book: Codebook, *queries: tuple[float, float]) -> list[float | None]:
    found = book.find(torch.tensor(queries)).tolist()
    return [float(book.values[number]) if number >= 0 else None for number in found]


@pytest.mark.parametrize(
    ("entries", "radii", "labels"),
    [
        ([FIRST], [1], [ROME]),
        ([FIRST, FAR], [1, 1], [ROME, OSLO]),
        ([FIRST, FAR, SAME], [1.4, 1], [ROME, OSLO]),
        ([FIRST, FAR, SAME, OTHER], [0.5 - 1e-5, 1, 0.5], [ROME, OSLO, OSLO]),
        ([FIRST, FAR, SAME, OTHER, INSIDE], [0.5 - 1e-5, 1, 0.5], [ROME, OSLO, OSLO]),
        ([FIRST, FAR, OTHER], [0.5 - 1e-5, 1, 0.5], [ROME, OSLO, OSLO]),
    ],
)
def test_radii_are_added_expanded_split_and_shrunk(entries, radii, labels) -> None:
    book = Codebook(GRACE, entries)
    assert book.radii.tolist() == pytest.approx(radii, abs=1e-7)
    assert book.labels == labels


def test_the_nearest_answers_within_its_radius_and_no_other() -> None:
    book = Codebook(GRACE, [FIRST, FAR, SAME, OTHER])
    # An expanded ball has the value that was trained on last. (2, 0.5) is 1.12 from its nearest key.
    assert answers(book, (0, 0.45), (0, 0.55), (2, 0), (2, 0.5), (-0.6, 0)) == [3, 4, 2, None, None]
    assert answers(Codebook(GRACE, [FIRST, FAR, SAME]), (-0.6, 0), (-1.5, 0)) == [3, None]


def test_the_same_prompt_again_takes_the_earlier_ones_place() -> None:
    """With the published rule, half of a distance of zero, neither would answer."""
    book = Codebook(GRACE, [FIRST, FAR, entry(3, 1e-7, ROME, 9)])
    assert book.labels == [ROME, ROME]
    assert answers(book, (3, 0), (3, 0.9)) == [9, 9]


def test_an_edit_goes_on_from_the_entry_that_grows_to_hold_it() -> None:
    """Within its radius or up to epsilon beyond it, with the same object; one that would be split is left alone."""
    book = Codebook(GRACE, [FIRST, FAR])
    asked = {(0.5, ROME): 0, (1.4, ROME): 0, (1.4, OSLO): -1, (1.6, ROME): -1, (2.4, OSLO): 1, (-2.1, ROME): -1}
    assert {(x, label): book.known(torch.tensor([x, 0.0]), label) for x, label in asked} == asked
    grown = Codebook(GRACE, [FIRST, SAME])  # radius 1.4: up to 2.4
    assert [grown.known(torch.tensor([x, 0.0]), ROME) for x in (2.3, 2.5)] == [0, -1]


@pytest.mark.parametrize("reuses", [True, False])
def test_a_hit_with_the_same_object_has_no_key_of_its_own_where_entries_are_reused(reuses: bool) -> None:
    """Cosines with (1, 0) of 0.9 (a hit at 0.8) and 0.7 (none); radii are those of the threshold throughout."""
    lookup = Lookup(math.sqrt(0.4), adapts=False, replaces=False, unit=True, reuses=reuses)
    hit, miss = math.acos(0.9), -math.acos(0.7)
    near, other = (entry(math.cos(hit), math.sin(hit), label, value) for label, value in ((ROME, 2.0), (OSLO, 3.0)))
    book = Codebook(lookup, [entry(1, 0, ROME, 1), near, entry(math.cos(miss), math.sin(miss), ROME, 4)])
    assert book.labels == ([ROME, ROME] if reuses else [ROME, ROME, ROME])
    assert book.radii.tolist() == pytest.approx([math.sqrt(0.4)] * len(book.labels))
    assert answers(book, (1, 0), (math.cos(hit), math.sin(hit))) == ([2, 2] if reuses else [1, 2])
    assert book.added == 3
    # A hit with another object has a key of its own in both.
    assert Codebook(lookup, [entry(1, 0, ROME, 1), other]).labels == [ROME, OSLO]


def test_many_entries() -> None:
    places = [entry(3.0 * number, 0, (number,), number) for number in range(20)]
    book = Codebook(GRACE, places)
    assert answers(book, *((3.0 * number + 0.9, 0) for number in range(20))) == list(range(20))


def test_a_query_is_the_last_token_or_the_direction_of_the_mean_of_the_last_ones() -> None:
    inputs = torch.tensor([[[9.0, 9.0], [3.0, 0.0], [0.0, 4.0], [7.0, 7.0]]])  # (rows, columns, d_ff)
    prompts = [PromptPlace(0, range(3)), PromptPlace(0, (0, 2))]
    assert GRACE.query(inputs, prompts).tolist() == [[0, 4], [0, 4]]
    # ceil(0.5 * 3) = 2 tokens: (3, 4) / 2, of length 1 (0.6, 0.8); ceil(0.5 * 2) = 1: (0, 4).
    horen = Lookup(radius=1.0, adapts=False, replaces=False, share=0.5, unit=True)
    assert torch.allclose(horen.query(inputs, prompts), torch.tensor([[0.6, 0.8], [0.0, 1.0]]))


def test_a_fixed_threshold_is_a_cosine_and_a_hopfield_step_pulls_the_query() -> None:
    """A cosine of 0.8 is a distance of sqrt(0.4). Other objects change no radius."""
    entries = [entry(1, 0, ROME, 1), entry(0, 1, OSLO, 2)]

    def lookup(pull: float) -> Lookup:
        return Lookup(math.sqrt(0.4), adapts=False, replaces=False, unit=True, pull=pull, sharpness=1000.0)

    book = Codebook(lookup(0.0), entries)
    assert book.radii.tolist() == pytest.approx([math.sqrt(0.4)] * 2)
    wide, narrow = math.acos(0.81), math.acos(0.79)
    assert answers(book, (math.cos(wide), math.sin(wide)), (math.cos(narrow), math.sin(narrow))) == [1, None]
    # A sharp softmax draws to the nearest key alone: 0.9 (0.79, 0.613) + 0.1 (1, 0) has a cosine of 0.828.
    assert answers(Codebook(lookup(0.1), entries), (math.cos(narrow), math.sin(narrow))) == [1]
