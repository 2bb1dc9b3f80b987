"""Distillation, beyond the contract's fixed teacher: a teacher per example, its gradient, the terms, the scale T^2."""

import numpy as np
import pytest
import torch
from torch import Tensor

from src.losses.distillation import KnowledgeDistillationLoss
from tests.losses.references import cross_entropy, softmax
from tests.losses.rows import batch, ce, distributions, one_hot


def teacher(dtype: torch.dtype = torch.float64) -> Tensor:
    return batch(scale=3.0, seed=5)[0].to(dtype)


def test_value_with_a_teacher_per_example() -> None:
    (z, y), t = batch(), teacher()
    for q in (one_hot(y), distributions()):
        p, s = softmax(z.numpy() / 4), softmax(t.numpy() / 4)
        expected = 0.1 * cross_entropy(z.numpy(), q.numpy()) + 0.9 * 16 * (s * np.log(s / p)).sum(-1)
        got = KnowledgeDistillationLoss(alpha=0.9, temperature=4.0)(z, t, q)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_terms_are_the_parts() -> None:
    (z, y), t = batch(), teacher()
    terms = KnowledgeDistillationLoss(alpha=0.3, temperature=2.0).terms(z, t, y)
    assert list(terms) == ["hard", "soft"]
    torch.testing.assert_close(terms["hard"], 0.7 * ce()(z, y))
    torch.testing.assert_close(terms["soft"], 0.3 * KnowledgeDistillationLoss(alpha=1.0, temperature=2.0)(z, t, y))
    torch.testing.assert_close(
        KnowledgeDistillationLoss(alpha=0.3, temperature=2.0)(z, t, y), terms["hard"] + terms["soft"]
    )


def test_nothing_to_learn_from_an_equal_teacher() -> None:
    z, y = batch()
    z.requires_grad_()
    loss = KnowledgeDistillationLoss(alpha=1.0, temperature=4.0)(z, z.detach().clone(), y)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    torch.testing.assert_close(loss.detach(), torch.zeros_like(loss))
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_no_gradient_reaches_the_teacher() -> None:
    (z, y), t = batch(), teacher().requires_grad_()
    KnowledgeDistillationLoss(alpha=0.5, temperature=4.0)(z.requires_grad_(), t, y).sum().backward()
    assert t.grad is None
    assert z.grad is not None and z.grad.abs().sum() > 0
    both = z.detach().requires_grad_()  # even one tensor for both: all of the gradient is the student's
    (gradient,) = torch.autograd.grad(KnowledgeDistillationLoss(alpha=1.0, temperature=4.0)(both, both, y).sum(), both)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_large_temperature_matches_centred_logits() -> None:
    """Hinton et al. 2015, eq. 4: the soft gradient tends to (z - t) / (K T^2) for centred logits."""
    (z, y), t = batch(), teacher()
    z, t = z - z.mean(-1, keepdim=True), t - t.mean(-1, keepdim=True)
    z.requires_grad_()
    loss = KnowledgeDistillationLoss(alpha=1.0, temperature=1e4)(z, t, y)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    torch.testing.assert_close(gradient, (z.detach() - t) / z.shape[-1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_with_a_huge_teacher(dtype: torch.dtype) -> None:
    t = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype)
    for sign in (1, -1):
        z = (sign * t).float().requires_grad_()
        loss = KnowledgeDistillationLoss(alpha=0.9, temperature=4.0)(z, t, torch.tensor([1]))
        loss.backward()
        assert loss.isfinite().all() and z.grad is not None and z.grad.isfinite().all()


def test_maps_over_batches_of_teachers() -> None:
    (z, y), t = batch(), teacher()
    loss = KnowledgeDistillationLoss(alpha=0.9, temperature=4.0)
    mapped = torch.func.vmap(loss)(z.reshape(3, 4, -1), t.reshape(3, 4, -1), y.reshape(3, 4))
    torch.testing.assert_close(mapped.reshape(-1), loss(z, t, y))
