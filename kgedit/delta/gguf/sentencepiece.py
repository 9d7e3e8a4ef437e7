"""A BPE of SentencePiece (Llama 2, Mistral 7B) as a GGUF file holds it: a score for each piece instead of merges.

llama.cpp joins the two neighbours whose joined piece has the highest score, whatever the two are. A tokenizer.json
lists the pairs that are joined, in order. Both do the same where the pairs of a piece stand together in the list, and
all are in it; then the place of a piece's first pair gives its score. Runs of spaces have one score for all of them.

llama.cpp puts a space before every text and after every token that is matched whole, as SentencePiece does. A
tokenizer.json with `Metaspace` puts one only at the start of a text, or none where a space stands already. Its ids
differ from llama.cpp's in these places, whoever has written the GGUF file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kgedit.delta.gguf.refusal import refused, short

_BYTE = "<0x{:02X}>"
_MARK = "▁"
_MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": _MARK}
_BEFORE = {"type": "Prepend", "prepend": _MARK}


@dataclass(frozen=True, slots=True)
class SentencePieceBpe:
    """What such a vocabulary has beside its tokens.

    Attributes:
        scores: Piece -> its score; 0 where it is never the result of a merge.
        space_before: A text is read as if a space stood before it.
    """

    scores: Mapping[str, float]
    space_before: bool

    def add_to(self, writer: Any, tokens: list[str]) -> None:
        """Add it to a `gguf.GGUFWriter`, for the tokens of the file in their order."""
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([self.scores.get(token, 0.0) for token in tokens])
        writer.add_add_space_prefix(self.space_before)


def sentencepiece_of(spec: Mapping[str, Any]) -> SentencePieceBpe:
    """Read a tokenizer.json whose model is a BPE with byte tokens.

    Raises:
        UnsupportedExport: It merges pieces, or changes texts, in a way that llama.cpp does not.
    """
    inner = spec["model"]
    lacking = [piece for piece in byte_pieces() if piece not in inner["vocab"]]
    if lacking:
        raise refused(f"has no token {lacking[0]!r} for that byte")
    if inner.get("ignore_merges"):
        raise refused("takes words that are tokens as they are, whatever the merges would make of them")
    return SentencePieceBpe(_scores(spec), _space_before(spec))


def byte_pieces() -> Iterator[str]:
    """The tokens that stand for one byte each."""
    return (_BYTE.format(byte) for byte in range(256))


def _space_before(spec: Mapping[str, Any]) -> bool:
    """Whether the text gets a mark before it; spaces become marks in any case."""
    normalizer, pre = spec["normalizer"], spec["pre_tokenizer"]
    if pre is None and normalizer is not None:
        steps = normalizer.get("normalizers", [normalizer])
        if steps in ([_MARKS], [_BEFORE, _MARKS]):
            return len(steps) == 2
    kind = [pre.get(name) for name in ("type", "replacement", "split")] if pre else []
    if normalizer is None and kind == ["Metaspace", _MARK, False]:
        return bool(pre["prepend_scheme"] != "never")
    raise refused(f"prepares texts by {short(normalizer)} and {short(pre)}, which is none of the known ways")


def _scores(spec: Mapping[str, Any]) -> dict[str, float]:
    vocab, whole = spec["model"]["vocab"], {token["content"] for token in spec["added_tokens"]}
    scores: dict[str, float] = {}
    pairs: dict[str, set[int]] = {}  # piece -> lengths of its left halves that are joined to it
    ranked: dict[str, float] = {}  # piece, or a mark for all runs of marks -> score
    before = None
    # 1. The place of a piece's first pair is its score; its other pairs must follow at once.
    for rank, pair in enumerate(spec["model"]["merges"]):
        left, right = pair.split(" ") if isinstance(pair, str) else pair
        piece = left + right
        pairs.setdefault(piece, set()).add(len(left))
        together = piece if piece.strip(_MARK) else _MARK
        if together != before and together in ranked:
            raise refused(f"merges {piece!r} at two places in the order")
        scores[piece] = ranked.setdefault(together, -float(rank))
        before = together
    # 2. llama.cpp joins any two neighbours that make a piece, so each such pair must be among the merges.
    for piece in vocab.keys() - whole:
        halves = {cut for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab}
        if differing := halves ^ pairs.get(piece, set()):
            cut = min(differing)
            raise refused(f"never merges {piece[:cut]!r} and {piece[cut:]!r}, though {piece!r} is a token")
    return scores
