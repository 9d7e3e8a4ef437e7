"""Writing systems that put no space between words."""

from __future__ import annotations

from bisect import bisect_right

# First and last code point of each block, ascending. Hangul is not among them: Korean parts its words by spaces.
_BLOCKS = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals
    (0x3000, 0x312F),  # ideographic punctuation, Hiragana, Katakana, Bopomofo
    (0x3190, 0x9FFF),  # Kanbun to the unified ideographs
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFE30, 0xFE4F),  # vertical forms
    (0xFF00, 0xFF9F),  # full-width forms, half-width Katakana
    (0xFFE0, 0xFFEF),  # full-width signs
    (0x1AFF0, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # further ideographs
)
_FIRSTS = [first for first, _ in _BLOCKS]


def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script, or its punctuation, that parts words by no space."""
    code = ord(character)
    block = bisect_right(_FIRSTS, code) - 1
    return block >= 0 and code <= _BLOCKS[block][1]
