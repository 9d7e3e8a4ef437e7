"""The closed form: the low-rank change of W that makes it answer the subject's key with m* (ROME, eq. 2).

docs/methods.md, "The closed form".

Notation (math orientation): m = W k + b; C the second moment of keys; k_bar the key averaged over contexts; offset
= m* - m of the bare prompt. Every variant is dW = right left^T with left^T k = 1 for the key k that it is solved for:

    "averaged"  left = C^-1 k_bar / (k_bar^T C^-1 k_bar), right = m* - mean(m)            one key everywhere (r-ROME)
    "original"  left = C^-1 k_bar / (k_bare^T C^-1 k_bar), right = m* - m_bare = offset   the published mixture of keys
    "contexts"  left = C^-1 K^T (K C^-1 K^T + eps I)^-1 T, right = offset                 all keys K of the objective

In "contexts" T is 1 for the subject's keys and 0 for those of the tokens behind it in the same prompts: what was
optimised is added at the subject and nowhere else, also where a later token's key resembles the subject's. Several
edits are solved for at once, a column of T and of the offsets each: every edit is held at 0 at the keys of the others.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from kgedit.errors import IllConditioned

Key = Literal["averaged", "original", "contexts"]

_SINGULAR = 1e-10  # share of the largest eigenvalue below which a direction of float32 keys is rounding
# Times as many keys as they have numbers: beyond it the system is solved in the space of the numbers.
_FEW = 2


class Moment(Protocol):
    """What the closed form needs of second-moment statistics."""

    def solve(self, keys: Tensor) -> Tensor:
        """Rows k^T -> rows (C^-1 k)^T, both (n, d_ff); float64."""
        ...


def closed_form(
    key: Key,
    keys: Tensor,
    values: Tensor,
    offset: Tensor,
    contexts: list[int],
    moment: Moment,
    *,
    ridge: float = 0.02,
    later: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Solve for the rank-one change.

    Args:
        key: Which keys it is solved for, see above.
        keys: (rows, d_ff) keys at the subject's last token; row 0 is the bare prompt.
        values: (rows, d) MLP outputs there.
        offset: (d,) m* - m of the bare prompt.
        contexts: Rows that hold the edit prompt behind context prefixes; averages are taken over these.
        moment: Second moment of the layer's keys.
        ridge: eps of "contexts", as a share of the mean diagonal of K C^-1 K^T.
        later: (tokens, d_ff) keys of the tokens behind the subject, for "contexts"; none are held at 0 if not given.

    Returns:
        left (d_ff, 1) and right (d, 1), float32, so that dW = right left^T.

    Raises:
        IllConditioned: The key is (nearly) orthogonal to C^-1 k, so the change would explode.
    """
    # All keys of the objective at once: 1 at the subject, 0 at the tokens behind it.
    if key == "contexts":
        wide = keys.double().cpu()
        shares = torch.ones(len(wide), 1, dtype=wide.dtype)  # (rows, 1)
        if later is not None:
            wide = torch.cat([wide, later.double().cpu()])  # (rows + tokens, d_ff)
            shares = torch.cat([shares, shares.new_zeros(len(later), 1)])  # (rows + tokens, 1)
        return joint_form(wide, moment.solve(wide), shares, ridge), _column(offset.double().cpu())
    return rank_one(key, keys, values, offset, contexts, moment.solve(averaged_key(keys, contexts).unsqueeze(0))[0])


def averaged_key(keys: Tensor, contexts: list[int]) -> Tensor:
    """k_bar, the mean over the contexts, (d_ff,) float64 on the CPU."""
    return keys.double().cpu()[contexts].mean(dim=0)


def rank_one(
    key: Key, keys: Tensor, values: Tensor, offset: Tensor, contexts: list[int], direction: Tensor
) -> tuple[Tensor, Tensor]:
    """`closed_form` with one key, where its direction C^-1 k_bar (d_ff,) is known."""
    wide, shift, direction = keys.double().cpu(), offset.double().cpu(), direction.double().cpu()
    # Scaled so that the key that is solved for gives 1.
    if key == "averaged":
        solved_for = averaged_key(keys, contexts)
        right = values[0].double().cpu() + shift - values[contexts].double().cpu().mean(dim=0)  # (d,)
    else:
        solved_for, right = wide[0], shift
    scale = float(solved_for @ direction)
    if abs(scale) < 1e-8 * float(solved_for.norm() * direction.norm()):
        raise IllConditioned(
            f"the key is orthogonal to its direction (k . C^-1 k = {scale:.3g}), so the update would explode; "
            'use key="averaged", or collect the second moment from more text'
        )
    return _column(direction / scale), _column(right)


def joint_form(keys: Tensor, solved: Tensor, shares: Tensor, ridge: float) -> Tensor:
    """The change of least size, as C measures it, that gives each key its share of each offset.

    Args:
        keys: (n, d_ff) all keys that are solved for.
        solved: (n, d_ff) float64, C^-1 times each of them.
        shares: (n, edits) T, how much of each edit's offset each of them shall get: 1 or 0.
        ridge: eps, as a share of the mean diagonal of K C^-1 K^T.

    Returns:
        left (d_ff, edits), float32.
    """
    solved = solved.double().cpu()
    if ridge > 0 and len(keys) > _FEW * keys.shape[1]:
        return _of_many_keys(keys.double().cpu(), solved, shares.double().cpu(), ridge)
    # G = K C^-1 K^T + eps I
    gram = keys.double().cpu() @ solved.T  # (n, n)
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    factor, failed = torch.linalg.cholesky_ex(gram)
    pivots = factor.diagonal().square()  # (n,)
    # left = C^-1 K^T G^-1 T
    if failed or float(pivots.min()) < _SINGULAR * float(pivots.max()):
        # Prompts that begin with the subject share one key up to rounding: without a ridge nothing tells them apart.
        weights = torch.linalg.pinv(gram, rtol=_SINGULAR, hermitian=True) @ shares.double().cpu()  # (n, edits)
    else:
        weights = torch.cholesky_solve(shares.double().cpu(), factor)  # (n, edits)
    left: Tensor = solved.T @ weights  # (d_ff, edits)
    return left.to(torch.float32)


def _of_many_keys(keys: Tensor, solved: Tensor, shares: Tensor, ridge: float) -> Tensor:
    """`joint_form` by a system as large as a key instead of one as large as their number.

    C^-1 K^T (K C^-1 K^T + eps I)^-1 = (C^-1 K^T K + eps I)^-1 C^-1 K^T, the push-through identity.
    """
    system = solved.T @ keys  # (d_ff, d_ff), C^-1 K^T K
    # The trace of K C^-1 K^T is that of C^-1 K^T K.
    system.diagonal().add_(ridge * system.trace() / len(keys))
    left: Tensor = torch.linalg.solve(system, solved.T @ shares)  # (d_ff, edits)
    return left.to(torch.float32)


def _column(vector: Tensor) -> Tensor:
    return vector.to(torch.float32).unsqueeze(1)  # (n, 1)
