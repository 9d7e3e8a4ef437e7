"""Several deltas as one that does what they do together."""

from __future__ import annotations

from typing import Any, overload

from kgedit.delta.delta import Delta
from kgedit.delta.low_rank import LowRankDelta
from kgedit.errors import UnsupportedExport


@overload
def compose(*deltas: LowRankDelta, base_hash: str | None = None) -> LowRankDelta: ...


@overload
def compose(*deltas: Delta, base_hash: str | None = None) -> Delta: ...


def compose(*deltas: Delta, base_hash: str | None = None) -> Delta:
    """One delta that does what the given ones do together; low-rank ones side by side, so ranks add. Exact.

    Args:
        deltas: In the order in which they are applied.
        base_hash: `hash_weights` of all weights concerned before the first delta. May be left out when the
            first delta touches all of them; then it is the first one's.

    Raises:
        ValueError: No delta; two that store a weight differently; or an unknown base.
        UnsupportedExport: Several, and one of them is of a kind that cannot be composed.
    """
    if not deltas:
        raise ValueError("compose() needs at least one delta")
    kind = type(deltas[0])
    if len(deltas) == 1 and kind is not LowRankDelta:
        return deltas[0]
    if any(type(delta) is not kind for delta in deltas):
        kinds = ", ".join(sorted({delta.kind for delta in deltas}))
        raise UnsupportedExport(
            f"{len(deltas)} deltas of the kinds {kinds} cannot become one; save or export them one by one"
        )
    if base_hash is None:
        if any(set(delta.names) - set(deltas[0].names) for delta in deltas):
            raise ValueError(
                "the deltas touch different weights, so the hash of their common base is not known; "
                "pass base_hash=hash_weights(unedited_model, names)"
            )
        base_hash = deltas[0].base_hash
    origins: list[dict[str, Any]] = []
    for delta in deltas:  # the parts of a composed delta stand in the list themselves, not one level deeper
        noted = delta.manifest.get("composed")
        origins += noted if isinstance(noted, list) else [{"id": delta.id, "manifest": delta.manifest}]
    return kind.joined(deltas, base_hash, {"composed": origins})
