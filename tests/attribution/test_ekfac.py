"""EK-FAC where the exact inverse is known."""

from __future__ import annotations

import torch

from kgedit.attribution.ekfac import eigen_bases, ekfac_solved

INPUTS, CLASSES = 3, 4


def sweep(u, delta, mask=None):
    """Two batches of unlike size, in each of the two passes."""
    mask = torch.ones(u.shape[:2]) if mask is None else mask
    return lambda what: [
        (mask[part], {"W": (u[part], delta[part])}) for part in (slice(0, 5), slice(5, None)) if len(u[part])
    ]


def test_on_a_linear_model_it_is_the_exact_inverse() -> None:
    # Softmax regression that says nothing yet: p is uniform, so the Hessian is exactly S x A, and with every label
    # taken once for each input its expectation is exact, too.
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(7, INPUTS, generator=generator, dtype=torch.float64)
    p = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64)
    u = inputs.repeat_interleave(CLASSES, 0)[:, None]  # (texts, 1 token, d_in)
    delta = (p - torch.eye(CLASSES, dtype=torch.float64)).repeat(7, 1)[:, None]  # (texts, 1 token, d_out)
    hessian = torch.kron(torch.diag(p) - torch.outer(p, p), inputs.T @ inputs / 7)  # by rows of W
    damping = 0.1 * hessian.diagonal().mean()
    vectors = torch.randn(2, CLASSES, INPUTS, generator=generator, dtype=torch.float64)
    exact = torch.linalg.solve(hessian + damping * torch.eye(len(hessian), dtype=torch.float64), vectors.flatten(1).T)

    found = ekfac_solved(eigen_bases(sweep(u, delta)), {"W": vectors}, 0.1)["W"]

    torch.testing.assert_close(found.flatten(1).T, exact)
    # Kronecker factors alone, (A + lambda)^-1 and (S + lambda)^-1, would not do.
    assert float((found[0] - vectors[0]).norm()) > 0.1


def test_eigenvalues_are_second_moments_of_whole_texts_in_the_basis() -> None:
    generator = torch.Generator().manual_seed(1)
    u, delta = (torch.randn(9, 5, size, generator=generator) for size in (INPUTS, CLASSES))
    mask = torch.ones(9, 5)
    mask[3, 2:], u[3, 2:], delta[3, 2:] = 0, 0, 0  # a short text
    basis = eigen_bases(sweep(u, delta, mask))["W"]
    # The eigenvectors are those of the mean over tokens, padding left out.
    a = torch.einsum("nti,ntj->ij", u, u) / mask.sum()
    torch.testing.assert_close(basis.inputs.T @ a @ basis.inputs, torch.diag(torch.linalg.eigvalsh(a)))
    gradients = torch.einsum("nto,nti->noi", delta, u)
    expected = (basis.outputs.T @ gradients @ basis.inputs).square().mean(0)
    torch.testing.assert_close(basis.values, expected)


def test_without_curvature_nothing_is_turned() -> None:
    basis = eigen_bases(sweep(torch.zeros(2, 1, INPUTS), torch.zeros(2, 1, CLASSES)))["W"]
    vectors = torch.ones(1, CLASSES, INPUTS)
    torch.testing.assert_close(basis.solved(vectors, 0.1), vectors)
