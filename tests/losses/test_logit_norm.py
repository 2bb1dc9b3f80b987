"""Cross-entropy of normalised logits: scale, the origin, and its link."""

import torch

from src.losses.logit_norm import LogitNormLoss
from tests.losses.rows import batch


def test_scale_of_the_logits_does_not_matter() -> None:
    z, y = batch()
    loss = LogitNormLoss(tau=0.04)
    for scale in (1e-6, 0.1, 1e6):
        torch.testing.assert_close(loss(scale * z, y), loss(z, y), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(loss.log_probs(scale * z), loss.log_probs(z), rtol=1e-12, atol=1e-12)


def test_link_is_the_softmax_that_is_trained() -> None:
    z, y = batch()
    log_p = LogitNormLoss(tau=0.04).log_probs(z)
    torch.testing.assert_close(-log_p[torch.arange(len(y)), y], LogitNormLoss(tau=0.04)(z, y))
    assert not torch.allclose(log_p, z.log_softmax(-1), atol=0.1)


def test_origin_has_a_value_and_a_finite_gradient() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        z = torch.zeros(2, 5, dtype=dtype, requires_grad=True)
        loss = LogitNormLoss(tau=0.04)(z, torch.tensor([0, 3]))
        loss.sum().backward()
        torch.testing.assert_close(loss.double(), torch.full((2,), 5.0).double().log(), rtol=1e-6, atol=0)
        assert z.grad is not None and z.grad.isfinite().all() and z.grad.abs().sum() > 0
