"""Several deltas as one that does what they do together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, overload

import torch

from kgedit.delta.delta import Delta
from kgedit.delta.low_rank import LowRankDelta
from kgedit.delta.update import WeightUpdate
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
    matrices = [delta for delta in deltas if isinstance(delta, LowRankDelta)]
    if len(matrices) == len(deltas):
        return _side_by_side(matrices, base_hash)
    if len(deltas) == 1:
        return deltas[0]
    kinds = ", ".join(sorted({delta.kind for delta in deltas}))
    raise UnsupportedExport(
        f"{len(deltas)} deltas of the kinds {kinds} cannot become one; save or export them one by one"
    )


def _side_by_side(deltas: Sequence[LowRankDelta], base_hash: str | None) -> LowRankDelta:
    parts: dict[str, list[WeightUpdate]] = {}
    for delta in deltas:
        for update in delta.updates:
            parts.setdefault(update.name, []).append(update)
    if base_hash is None:
        if set(parts) != set(deltas[0].names):
            raise ValueError(
                "the deltas touch different weights, so the hash of their common base is not known; "
                "pass base_hash=hash_weights(unedited_model, names)"
            )
        base_hash = deltas[0].base_hash
    for name, updates in parts.items():
        if len({(update.stored_shape, update.conv1d) for update in updates}) > 1:
            raise ValueError(
                f"the deltas disagree on the shape or orientation of {name}: they belong to different models"
            )
    merged = tuple(
        replace(
            updates[0],
            left=torch.cat([update.left for update in updates], dim=1),  # (d_in, sum of r)
            right=torch.cat([update.right for update in updates], dim=1),  # (d_out, sum of r)
        )
        for updates in parts.values()
    )
    origins: list[dict[str, Any]] = []
    for delta in deltas:  # the parts of a composed delta stand in the list themselves, not one level deeper
        noted = delta.manifest.get("composed")
        origins += noted if isinstance(noted, list) else [{"id": delta.id, "manifest": delta.manifest}]
    return LowRankDelta(merged, base_hash, {"composed": origins})
