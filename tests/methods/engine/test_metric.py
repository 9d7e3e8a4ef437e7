"""Closed forms of many edits against dense algebra, and by numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from families import SENTENCES, tiny_model
from kgedit.errors import EditError
from kgedit.lm.second_moment.collect import collect
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.engine.metric import (
    GrowingMetric,
    NullSpace,
    Weighted,
    joint_solve,
    reached_share,
    soft_metric,
    written_share,
)

# Eigenvalues 4 and 1 along (1, 1, 0) and (1, -1, 0), and 0.01 along the third axis.
C = torch.tensor([[2.5, 1.5, 0.0], [1.5, 2.5, 0.0], [0.0, 0.0, 0.01]])


def moment(matrix: torch.Tensor = C) -> SecondMoment:
    return SecondMoment(0, matrix, 10_000, "by hand", ridge=0.0)


def inverse_of(metric: Moment, width: int) -> torch.Tensor:
    return metric.solve(torch.eye(width, dtype=torch.float64))


def test_the_projector_is_one_and_leaves_nothing_of_c_above_the_threshold() -> None:
    """P P = P, and P C P has no eigenvalue of the threshold or more (AlphaEdit)."""
    model, tok = tiny_model("gpt2")
    real = collect(model, tok, SENTENCES * 3, [1])[1]
    eigenvalues = torch.linalg.eigvalsh(real.matrix.double())
    middle = len(eigenvalues) // 2
    threshold = float(eigenvalues[middle - 1 : middle + 1].mean())  # between two: no eigenvalue hangs on a last bit
    projector = inverse_of(NullSpace(real, threshold, 1.0), len(real.matrix))
    assert torch.allclose(projector @ projector, projector, atol=1e-10)
    assert torch.allclose(projector, projector.T, atol=1e-12)
    kept = torch.linalg.eigvalsh(projector @ real.matrix.double() @ projector)
    assert float(kept.max()) < threshold
    assert round(float(projector.trace())) == middle


def test_alphaedit_by_hand() -> None:
    """P keeps the third axis alone: of k = (3, 4, 2) it leaves 2, and with L2 = 10 writes the share 4 / 14."""
    null = NullSpace(moment(), 0.02, 10.0)
    assert torch.allclose(inverse_of(null, 3), torch.diag(torch.tensor([0.0, 0.0, 0.1], dtype=torch.float64)))
    keys = torch.tensor([[3.0, 4.0, 2.0]])
    left = joint_solve(keys, null)
    assert left[:, 0].tolist() == pytest.approx([0.0, 0.0, 2 / 14])
    assert float(written_share(keys, left)) == pytest.approx(4 / 14)


def test_alphaedit_solves_the_published_system_with_earlier_keys() -> None:
    """(P (K K^T + K_p K_p^T) + L2 I) X = P K, solved densely."""
    generator = torch.Generator().manual_seed(0)
    keys, earlier = (torch.randn(n, 3, generator=generator).double() for n in (2, 4))
    projector = torch.diag(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    both = keys.T @ keys + earlier.T @ earlier
    expected = torch.linalg.solve(projector @ both + 10 * torch.eye(3, dtype=torch.float64), projector @ keys.T)
    metric = GrowingMetric(NullSpace(moment(), 0.02, 10.0))
    metric.add(earlier)
    assert torch.allclose(joint_solve(keys, metric).double(), expected, atol=1e-7)


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 3]])
def test_the_recursive_form_is_memit_seq(sizes) -> None:
    """Key by key or all at once: (lambda C + sum K_p K_p^T)^-1, the same to rounding."""
    earlier = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).double()
    metric = GrowingMetric(Weighted(moment(), 50.0))
    for part in torch.split(earlier, sizes):
        metric.add(part)
    expected = torch.linalg.inv(50 * C.double() + earlier.T @ earlier)
    assert torch.allclose(inverse_of(metric, 3), expected, rtol=1e-9, atol=1e-12)


def test_the_recursion_by_hand() -> None:
    """B = 1/2 on one axis; a key of 3 makes it 1 / (2 + 9)."""
    metric = GrowingMetric(Weighted(IdentityMoment(), 2.0))
    metric.add(torch.tensor([[3.0]]))
    assert float(inverse_of(metric, 1)) == pytest.approx(1 / 11)


def test_encores_ridge_is_added_to_lambda_c() -> None:
    found = inverse_of(soft_metric(moment(), 50.0, 10.0), 3)
    assert torch.allclose(found, torch.linalg.inv(50 * C.double() + 10 * torch.eye(3)), rtol=1e-6, atol=1e-12)
    assert float(inverse_of(soft_metric(IdentityMoment(), 2.0, 3.0), 1)) == pytest.approx(1 / 5)


def test_emmet_is_a_small_weight() -> None:
    """dW = R (K^T C^-1 K + eps I)^-1 K^T C^-1 with eps = 0.1, which is lambda = 0.1."""
    keys = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    solved = torch.linalg.inv(C.double()) @ keys.T
    expected = solved @ torch.linalg.inv(keys @ solved + 0.1 * torch.eye(2))
    assert torch.allclose(joint_solve(keys, soft_metric(moment(), 0.1, 0.0)).double(), expected, rtol=1e-5)


def test_a_null_space_that_there_is_not() -> None:
    with pytest.raises(EditError, match="identity has no null space.*kgedit moments"):
        NullSpace(IdentityMoment(), 0.02, 10.0)
    with pytest.raises(EditError, match=r"no eigenvalue .* below 0\.001 .*null_threshold"):
        NullSpace(moment(), 0.001, 10.0)
    with pytest.raises(EditError, match="key_ridge"):
        soft_metric(GrowingMetric(IdentityMoment()), 1.0, 10.0)


def test_the_part_of_the_way_that_layers_go_together() -> None:
    """Of two layers the first is asked for a half, the second for all that is missing: 1 - (1 - 0.45) (1 - 0.9)."""
    assert reached_share(torch.tensor([[0.9, 1.0], [0.9, 0.0]])).tolist() == pytest.approx([0.945, 0.5])
