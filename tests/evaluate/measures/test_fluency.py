"""Words, sentences and the entropy of their n-grams, by hand."""

from __future__ import annotations

import math

import pytest

from kgedit.evaluate.measures.fluency import entropy, fluency, ngram_entropy
from kgedit.text.sentences import first_sentence, has_ended, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris, and Rome.", ["Paris", ",", "and", "Rome", "."]),
        (
            "He can't say it's 1,000 (or so).",
            ["He", "ca", "n't", "say", "it", "'s", "1,000", "(", "or", "so", ")", "."],
        ),
        ("Dr. Smith left. She didn't.", ["Dr.", "Smith", "left", ".", "She", "did", "n't", "."]),
        (
            "J. R. R. Tolkien lived in the U.S. -- at 12:30!",
            "J. R. R. Tolkien lived in the U.S. -- at 12:30 !".split(),
        ),
        ('"Why...?" she said', ['"', "Why", "...", "?", '"', "she", "said"]),
        ("state-of-the-art 3.5%", ["state-of-the-art", "3.5", "%"]),
        ("1914–1918: war\nPeace.", ["1914", "–", "1918", ":", "war", "Peace", "."]),
        (".", ["."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_words_as_the_treebank_splits_them(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "first", "over"),
    [
        (" Paris. It is old.", "Paris.", True),
        ("Washington, D.C. is", "Washington, D.C. is", False),
        ("J. R. R. Tolkien. He", "J. R. R. Tolkien.", True),
        ("St. Louis\nQ: next", "St. Louis", True),
        ("Paris.", "Paris.", False),  # the next token may still show that it is no end
        ("Paris", "Paris", False),
        ('"Paris!" he', '"Paris!"', True),
        ("3.5 million", "3.5 million", False),
        ("\nParis", "", True),
        ("", "", False),
    ],
)
def test_the_first_sentence(text: str, first: str, over: bool) -> None:
    assert first_sentence(text) == first
    assert has_ended(text) is over


def test_entropy_of_ngrams_by_hand() -> None:
    tokens = "a b a b a".split()  # ab ba ab ba: 1 bit; aba bab aba: log2(3) - 2/3
    assert ngram_entropy(tokens, 2) == pytest.approx(1.0)
    assert ngram_entropy(tokens, 3) == pytest.approx(math.log2(3) - 2 / 3)
    assert entropy("a b a b a") == pytest.approx((2 / 3 * 1.0 + 4 / 3 * (math.log2(3) - 2 / 3)) / 2)
    # Eight different bigrams and seven different trigrams.
    assert entropy("one two three four five six seven eight nine") == pytest.approx(
        (2 / 3 * 3 + 4 / 3 * math.log2(7)) / 2
    )


def test_repetition_and_short_texts_have_no_entropy() -> None:
    assert entropy("go go go go go go") == 0
    assert entropy("") == entropy("one") == entropy("one two") == 0
    assert math.copysign(1, entropy("go go go")) == 1  # never -0.0
    assert entropy("one two three") == pytest.approx(1 / 3)  # two bigrams, one trigram


def test_fluency_is_the_mean_over_texts() -> None:
    assert fluency(["one two three", "go go go"]) == pytest.approx(1 / 6)
    with pytest.raises(ValueError, match="at least one"):
        fluency([])
