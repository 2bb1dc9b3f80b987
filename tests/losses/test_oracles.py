"""The losses against the libraries that define them too. Where a library differs, the test says exactly how."""

import src.system.torchvision_cpu  # noqa: F401, I001  before torchvision and timm
import numpy as np
import pytest
import torch
from sklearn.metrics import hinge_loss
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from src.losses.bce import BinaryCrossEntropyLoss
from src.losses.brier import BrierLoss
from src.losses.ce import CrossEntropyLoss
from src.losses.confidence_penalty import ConfidencePenaltyLoss
from src.losses.distillation import KnowledgeDistillationLoss
from src.losses.focal import FocalLoss
from src.losses.hinge import HingeLoss
from src.losses.kl import KullbackLeiblerLoss
from src.losses.logit_adjusted import LogitAdjustedLoss
from src.losses.logit_norm import LogitNormLoss
from src.losses.smoothed_ce import SmoothedCrossEntropyLoss
from src.losses.squared_scores import SquaredScoresLoss
from tests.losses.rows import UNWEIGHTED, ce
from tests.losses.rows import CLASSES, batch, distributions, one_hot

Z, Y = batch()
Q = distributions()
COUNTS = [60, 25, 10, 4, 1]
BALANCED = {"class_weights": "balanced", "effective_number_beta": None, "class_counts": COUNTS}
W = 100 / (CLASSES * torch.tensor(COUNTS, dtype=torch.float64))


def close(got: Tensor, expected: Tensor | float) -> None:
    torch.testing.assert_close(got, torch.as_tensor(expected, dtype=got.dtype), rtol=1e-6, atol=1e-9)


def test_cross_entropy() -> None:
    for targets in (Y, Q):
        close(ce()(Z, targets), F.cross_entropy(Z, targets, reduction="none"))
    close(ce()(Z, Q).mean(), SoftTargetCrossEntropy()(Z, Q))


def test_weighted_cross_entropy_has_another_mean_than_torch() -> None:
    loss = CrossEntropyLoss(**BALANCED)
    for targets in (Y, Q):
        close(loss(Z, targets), F.cross_entropy(Z, targets, weight=W, reduction="none"))
    close(loss(Z, Q).mean(), F.cross_entropy(Z, Q, weight=W))  # over N
    close(loss(Z, Y).sum() / W[Y].sum(), F.cross_entropy(Z, Y, weight=W))  # over the sum of the weights
    assert abs(loss(Z, Y).mean() - F.cross_entropy(Z, Y, weight=W)) > 0.1


@pytest.mark.parametrize("a", [0.0, 0.1, 0.6])
def test_smoothed_cross_entropy(a: float) -> None:
    loss = SmoothedCrossEntropyLoss(smoothing=a, spread="all", **UNWEIGHTED)
    for targets in (Y, Q):
        close(loss(Z, targets), F.cross_entropy(Z, targets, label_smoothing=a, reduction="none"))
    close(loss(Z, Y).mean(), LabelSmoothingCrossEntropy(a)(Z, Y))


def test_torch_weighs_each_term_of_a_smoothed_target() -> None:
    log_p = Z.log_softmax(-1)
    ours = SmoothedCrossEntropyLoss(smoothing=0.1, spread="all", **BALANCED)(Z, Y)
    torchs = F.cross_entropy(Z, Y, weight=W, label_smoothing=0.1, reduction="none")
    close(ours - torchs, 0.1 * ((W * log_p).mean(-1) - W[Y] * log_p.mean(-1)))
    assert (ours - torchs).abs().max() > 0.01


def test_binary_cross_entropy_is_a_sum_where_torch_and_timm_take_the_mean() -> None:
    loss = BinaryCrossEntropyLoss(smoothing=0.0, **UNWEIGHTED)
    close(loss(Z, Q).mean() / CLASSES, F.binary_cross_entropy_with_logits(Z, Q))
    close(loss(Z, Y).mean() / CLASSES, BinaryCrossEntropy(smoothing=0.0)(Z, Y))
    close(loss(Z, Y).mean(), BinaryCrossEntropy(smoothing=0.0, sum_classes=True)(Z, Y))
    z, y = Z[:, :1], Y % 2
    close(loss(z, y), F.binary_cross_entropy_with_logits(z[:, 0], y.double(), reduction="none"))


def test_timm_smooths_binary_targets_of_classes_by_the_number_of_classes() -> None:
    """timm: a / K and 1 - a + a / K for integer targets; here a / 2 and 1 - a / 2, which is timm's ``smooth_dense``."""
    a = 0.2
    ours = BinaryCrossEntropyLoss(smoothing=a, **UNWEIGHTED)(Z, Y).mean()
    close(ours, BinaryCrossEntropy(a, smooth_dense=True, sum_classes=True)(Z, one_hot(Y)))
    timms = BinaryCrossEntropy(a, sum_classes=True)(Z, Y)
    close(ours - timms, a * (1 / CLASSES - 1 / 2) * Z.sum(-1).mean())  # each target is larger by a / 2 - a / K
    assert abs(ours - timms) > 0.01


def test_class_weights_of_binary_cross_entropy_are_not_torchs_weight() -> None:
    """torch's ``weight`` multiplies question k by w_k; class weights multiply all questions of an example by w_y."""
    questions = F.binary_cross_entropy_with_logits(Z, one_hot(Y), reduction="none")
    close(BinaryCrossEntropyLoss(smoothing=0.0, **BALANCED)(Z, Y), W[Y] * questions.sum(-1))
    torchs = F.binary_cross_entropy_with_logits(Z, one_hot(Y), weight=W, reduction="none").sum(-1)
    close(torchs, (W * questions).sum(-1))


def test_focal_of_two_classes_is_torchvisions_sigmoid_focal_loss() -> None:
    z, y = Z[:, 0], Y % 2
    logits = torch.stack([torch.zeros_like(z), z], -1)  # softmax of (0, z) is sigmoid(z)
    for gamma in (0.5, 2.0, 5.0):
        loss = FocalLoss(gamma=gamma, **UNWEIGHTED)(logits, y)
        close(loss, sigmoid_focal_loss(z, y.double(), alpha=-1, gamma=gamma))
    # Its alpha weighs the classes (1 - alpha, alpha); with mean 1 over equal counts that is twice as much.
    weights = {"class_weights": [0.75, 0.25], "effective_number_beta": None, "class_counts": [6, 6]}
    loss = FocalLoss(gamma=2.0, **weights)(logits, y)
    close(loss, 2 * sigmoid_focal_loss(z, y.double(), alpha=0.25, gamma=2.0))


def test_torchvisions_focal_loss_of_many_classes_asks_one_question_a_class() -> None:
    torchvisions = sigmoid_focal_loss(Z, one_hot(Y), alpha=-1, gamma=0.0).sum(-1)
    close(torchvisions, BinaryCrossEntropyLoss(smoothing=0.0, **UNWEIGHTED)(Z, Y))  # at gamma = 0: bce, not ce
    assert not torch.allclose(torchvisions, FocalLoss(gamma=0.0, **UNWEIGHTED)(Z, Y), rtol=0.1)


def test_kl() -> None:
    log_p = Z.log_softmax(-1)
    close(KullbackLeiblerLoss()(Z, Q), kl_divergence(Categorical(probs=Q), Categorical(logits=Z)))
    close(KullbackLeiblerLoss()(Z, Q).mean(), F.kl_div(log_p, Q, reduction="batchmean"))
    close(KullbackLeiblerLoss()(Q.log(), Q), torch.zeros(len(Q)))


def test_kl_is_cross_entropy_less_the_targets_entropy() -> None:
    close(KullbackLeiblerLoss()(Z, Q), ce()(Z, Q) - Categorical(probs=Q).entropy())
    z = Z.clone().requires_grad_()
    for targets in (Y, Q):
        gradients = [torch.autograd.grad(loss(z, targets).sum(), z)[0] for loss in (KullbackLeiblerLoss(), ce())]
        close(*gradients)


def test_squared_errors_are_sums_where_torch_takes_the_mean() -> None:
    close(BrierLoss()(Z, Q).mean() / CLASSES, F.mse_loss(Z.softmax(-1), Q))
    close(SquaredScoresLoss(kappa=1.0, score=1.0)(Z, Y).mean() / CLASSES, F.mse_loss(Z, one_hot(Y)))


def test_squared_scores_divided_by_the_number_of_classes_are_hui_and_belkins() -> None:
    at_class = Z[torch.arange(len(Y)), Y]
    theirs = (15 * (at_class - 30) ** 2 + (Z**2).sum(-1) - at_class**2) / CLASSES
    close(SquaredScoresLoss(kappa=15.0, score=30.0)(Z, Y) / CLASSES, theirs)


def test_crammer_singer_is_scikit_learns_hinge() -> None:
    loss = HingeLoss(margin=1.0, multiclass="crammer_singer")
    close(loss(Z, Y).mean(), hinge_loss(Y.numpy(), Z.numpy(), labels=np.arange(CLASSES)))


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_weston_watkins_is_a_sum_where_torch_divides_by_the_number_of_classes(margin: float) -> None:
    loss = HingeLoss(margin=margin, multiclass="weston_watkins")
    close(loss(Z, Y) / CLASSES, F.multi_margin_loss(Z, Y, margin=margin, reduction="none"))
    two = Z[:, :2], Y % 2
    close(loss(*two), HingeLoss(margin=margin, multiclass="crammer_singer")(*two))


def test_confidence_penalty() -> None:
    entropy = Categorical(logits=Z).entropy()
    close(ConfidencePenaltyLoss(beta=0.3)(Z, Y), F.cross_entropy(Z, Y, reduction="none") - 0.3 * entropy)


def test_logit_norm_and_logit_adjustment() -> None:
    close(LogitNormLoss(tau=0.1)(Z, Y), F.cross_entropy(F.normalize(Z, dim=-1) / 0.1, Y, reduction="none"))
    log_pi = torch.tensor(COUNTS).double().div(100).log()
    loss = LogitAdjustedLoss(tau=0.5, class_counts=COUNTS)
    close(loss(Z, Y), F.cross_entropy(Z + 0.5 * log_pi, Y, reduction="none"))


def test_distillation() -> None:
    teacher = Z.flip(0)
    soft = F.kl_div((Z / 4).log_softmax(-1), (teacher / 4).softmax(-1), reduction="batchmean") * 4**2
    loss = KnowledgeDistillationLoss(alpha=0.9, temperature=4.0)(Z, teacher, Y)
    close(loss.mean(), 0.1 * F.cross_entropy(Z, Y) + 0.9 * soft)
