"""The table of the losses of classification, each with an independent reference from references.py.

To add a loss, add a row to ROWS; test_contract.py and test_classification.py then hold it to every property.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import entropy
from torch import Tensor

from src.losses.base import ClassificationLoss, DistillationLoss, upcast
from src.losses.bce import BinaryCrossEntropyLoss
from src.losses.brier import BrierLoss
from src.losses.ce import CrossEntropyLoss
from src.losses.confidence_penalty import ConfidencePenaltyLoss
from src.losses.distillation import KnowledgeDistillationLoss
from src.losses.dual_focal import DualFocalLoss
from src.losses.flsd import SampleDependentFocalLoss
from src.losses.focal import FocalLoss
from src.losses.generalized_ce import GeneralizedCrossEntropyLoss
from src.losses.hinge import HingeLoss
from src.losses.kl import KullbackLeiblerLoss
from src.losses.ldam import LabelDistributionAwareMarginLoss
from src.losses.logit_adjusted import LogitAdjustedLoss
from src.losses.logit_norm import LogitNormLoss
from src.losses.mmce import MaximumMeanCalibrationErrorLoss
from src.losses.poly1 import Poly1Loss
from src.losses.post_hoc_adjusted import PostHocAdjustedLoss
from src.losses.smoothed_ce import SmoothedCrossEntropyLoss
from src.losses.squared_scores import SquaredScoresLoss
from src.losses.squentropy import SquentropyLoss
from src.losses.symmetric_ce import SymmetricCrossEntropyLoss
from src.losses.z_loss import ZLoss
from tests.losses.contract import Array, Entry, Kwargs
from tests.losses.references import (
    binary_cross_entropy,
    calibration_error,
    confidence_penalty_minimiser,
    cross_entropy,
    distillation,
    divergence,
    dual_focal,
    focal,
    hinge,
    log_softmax,
    margins,
    normalised,
    of_class,
    poly1_minimiser,
    sample_dependent_focal,
    smoothed,
    softmax,
    squared_scores,
    teacher_of,
    weighted,
    z_loss,
)

CLASSES = 5
EXAMPLES = 12
BASES = {"base"}


def class_counts(classes: int) -> Kwargs:
    """Examples of each class; at 5 classes the balanced weights, 1/2, 1/2, 2, 4, 4, are exact in binary."""
    return {"class_counts": [int(n) for n in np.resize([8, 8, 2, 1, 1], classes)]}


UNWEIGHTED: Kwargs = {"class_weights": None, "effective_number_beta": None}
WEIGHTINGS: Sequence[Kwargs] = (
    {"class_weights": "balanced"},
    {"class_weights": [0.5, 1, 2, 2, 2], "class_counts": [8, 4, 2, 1, 1]},  # sum_k n_k w_k = N as it stands
)
BAD_WEIGHTS: Mapping[str, Sequence[Any]] = {
    "class_weights": ["inverse", 1.0, [1.0, 2.0], [1, 1, 1, 1, 0], [1, 1, 1, 1, -1], [1, 1, 1, 1, "a"], [1] * 6],
    "effective_number_beta": [-0.01, 1, 1.5, "abc", float("nan"), 0.9],  # 0.9 without effective_number does nothing
    "class_counts": [[], 5, "abc", [1, 2, -1], [1.5, 2], [0, 0], [True, True]],
}


def ce() -> CrossEntropyLoss:
    return CrossEntropyLoss(**UNWEIGHTED)


class Taught(ClassificationLoss):
    """A distillation loss with a fixed teacher: a classification loss, which the contract can then ask everything."""

    def __init__(self, loss: DistillationLoss) -> None:
        super().__init__()
        self.loss = loss

    def log_probs(self, logits: Tensor) -> Tensor | None:
        return self.loss.log_probs(logits)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        teacher = torch.from_numpy(teacher_of(logits.shape[-1])).to(upcast(logits).dtype)
        return self.loss(logits, teacher.expand_as(logits), targets)


def batch(scale: float = 2.0, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(EXAMPLES, CLASSES, generator=g, dtype=torch.float64)
    return z.to(dtype), torch.randint(CLASSES, (EXAMPLES,), generator=g)


def distributions(seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(EXAMPLES, CLASSES, generator=g, dtype=torch.float64).pow(3).softmax(-1)


def one_hot(y: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(y, CLASSES).double()


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference:  float64 ``(z (N, K), q (N, K), **arguments) -> (N,)``; hard targets arrive one-hot.
    at_zero:    the closed form at z = 0 for targets 0, 1, 2, ..., as a function of K; one number, or one a class.
    identities: name -> (own arguments, another loss that must give the same numbers).
    minimiser:  eta (K,) -> the probabilities that the link reads off the population's minimiser; None: not known in
                closed form. ``recovers``: whether these are eta itself.
    magnifies:  own arguments -> by how much these may magnify the rounding of what is summed up.
    mixed:      in this form of the row, targets are distributions.
    """

    at_zero: Callable[[int], float | Array]
    identities: Mapping[str, tuple[Kwargs, ClassificationLoss]] = field(default_factory=dict)
    soft: bool = True
    shift_invariant: bool = True
    recovers: bool = True
    minimiser: Callable[[Array], Array] | None = None
    magnifies: Callable[[Kwargs], float] = lambda kwargs: 1.0
    mixed: bool = False
    task: str = "classification"

    def __str__(self) -> str:
        return f"{self.name}, mixed" if self.mixed else self.name

    def forms(self) -> list["Row"]:
        return [self, replace(self, mixed=True)] if self.soft else [self]

    def given(self, loss: ClassificationLoss) -> tuple[Tensor, Tensor]:
        z, y = batch()
        return z, distributions() if self.mixed else y

    def expected(self, z: Tensor, targets: Tensor, **changes: Any) -> Array:
        return super().expected(z, targets if self.mixed else one_hot(targets), **changes)

    def build(self, classes: int = CLASSES, **changes: Any) -> ClassificationLoss:
        loss = super().build(classes, **changes)
        return Taught(loss) if isinstance(loss, DistillationLoss) else loss


ROWS = [
    Row(
        name="ce",
        cls=CrossEntropyLoss,
        kwargs=UNWEIGHTED,
        facts=class_counts,
        reference=weighted(cross_entropy),
        at_zero=lambda k: np.log(k),
        bad=BAD_WEIGHTS,
        boundary=WEIGHTINGS,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="smoothed_ce",
        cls=SmoothedCrossEntropyLoss,
        kwargs={"smoothing": 0.1, "spread": "all", **UNWEIGHTED},
        facts=class_counts,
        reference=weighted(smoothed),
        at_zero=lambda k: np.log(k),
        identities={
            "smoothing 0 is ce": ({"smoothing": 0.0}, ce()),
            "others at a is all at a K/(K-1), K = 5": (
                {"smoothing": 0.1, "spread": "others"},
                SmoothedCrossEntropyLoss(smoothing=0.1 * 5 / 4, spread="all", **UNWEIGHTED),
            ),
        },
        bad={"smoothing": [-0.01, 1.01, "abc", float("nan"), True, None], "spread": ["most", None], **BAD_WEIGHTS},
        boundary=[{"smoothing": 0}, {"smoothing": 1}, {"smoothing": 1, "spread": "others"}, *WEIGHTINGS],
        recovers=False,
        minimiser=lambda eta: 0.9 * eta + 0.1 / len(eta),
    ),
    Row(
        name="bce",
        cls=BinaryCrossEntropyLoss,
        kwargs={"smoothing": 0.0, **UNWEIGHTED},
        facts=class_counts,
        reference=weighted(
            lambda z, q, smoothing: binary_cross_entropy(z, q * (1 - smoothing) + smoothing / 2).sum(-1)
        ),
        at_zero=lambda k: (1 if k == 2 else k) * np.log(2),
        bad={"smoothing": [-0.01, 1.01, "abc", float("inf")], **BAD_WEIGHTS},
        boundary=[{"smoothing": 0}, {"smoothing": 1}, {"smoothing": 0.1}, *WEIGHTINGS],
        shift_invariant=False,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="focal",
        cls=FocalLoss,
        kwargs={"gamma": 2.0, **UNWEIGHTED},
        facts=class_counts,
        reference=weighted(focal),
        at_zero=lambda k: (1 - 1 / k) ** 2 * np.log(k),
        identities={"gamma 0 is ce": ({"gamma": 0.0}, ce())},
        bad={"gamma": [-0.01, "abc", float("nan"), float("inf"), None], **BAD_WEIGHTS},
        boundary=[{"gamma": 0}, {"gamma": 0.3}, {"gamma": 10}, *WEIGHTINGS],
        recovers=False,
    ),
    Row(
        name="flsd",
        cls=SampleDependentFocalLoss,
        kwargs={"gamma_hard": 5.0, "gamma_easy": 3.0, "threshold": 0.2},
        reference=sample_dependent_focal,
        at_zero=lambda k: (1 - 1 / k) ** (5 if k > 5 else 3) * np.log(k),
        identities={
            "equal gammas are focal": ({"gamma_hard": 3.0}, FocalLoss(gamma=3.0, **UNWEIGHTED)),
            "threshold 0 is focal, easy": ({"threshold": 0}, FocalLoss(gamma=3.0, **UNWEIGHTED)),
            "threshold 1 is focal, hard": ({"threshold": 1}, FocalLoss(gamma=5.0, **UNWEIGHTED)),
            "gammas 0 are ce": ({"gamma_hard": 0, "gamma_easy": 0}, ce()),
        },
        bad={
            "gamma_hard": [-0.01, "abc", None],
            "gamma_easy": [-0.01, "abc", float("inf")],
            "threshold": [-0.01, 1.01, "abc", float("nan")],
        },
        boundary=[{"gamma_easy": 0.3, "gamma_hard": 0.5}, {"threshold": 0}, {"threshold": 1}, {"threshold": 0.5}],
        soft=False,
        recovers=False,
    ),
    Row(
        name="dual_focal",
        cls=DualFocalLoss,
        kwargs={"gamma": 5.0},
        reference=dual_focal,
        at_zero=lambda k: (1 - 1 / k) ** 5 * np.log(k),
        identities={"gamma 0 is ce": ({"gamma": 0.0}, ce())},
        bad={"gamma": [-0.01, "abc", float("nan"), None]},
        boundary=[{"gamma": 0}, {"gamma": 0.3}, {"gamma": 10}],
        soft=False,
        recovers=False,
    ),
    Row(
        name="poly1",
        cls=Poly1Loss,
        kwargs={"epsilon": 1.0},
        reference=lambda z, q, epsilon: cross_entropy(z, q) + epsilon * (q * (1 - softmax(z))).sum(-1),
        at_zero=lambda k: np.log(k) + 1 - 1 / k,
        identities={"epsilon 0 is ce": ({"epsilon": 0.0}, ce())},
        bad={"epsilon": [-1.01, "abc", float("inf"), None]},
        boundary=[{"epsilon": -1}, {"epsilon": 0}, {"epsilon": 10}],
        recovers=False,
        minimiser=lambda eta: poly1_minimiser(eta, 1.0),
    ),
    Row(
        name="z_loss",
        cls=ZLoss,
        kwargs={"weight": 1e-4, "softcap": None},
        reference=z_loss,
        at_zero=lambda k: np.log(k) + 1e-4 * np.log(k) ** 2,
        identities={
            "weight 0 is ce": ({"weight": 0.0}, ce()),
            "a cap far above all logits is none": (
                {"weight": 0.1, "softcap": 1e7},
                ZLoss(weight=0.1, softcap=None),
            ),
        },
        bad={"weight": [-1e-4, "abc", float("nan"), float("inf"), None], "softcap": [0, -1, "abc", float("inf")]},
        boundary=[{"weight": 0}, {"weight": 1}, {"softcap": 15}, {"softcap": 0.1, "weight": 0}],
        shift_invariant=False,
        minimiser=lambda eta: eta,
        magnifies=lambda kwargs: max(1.0, kwargs.get("softcap", 1.0)),  # the cap times tanh, of a size near 1
    ),
    Row(
        name="kl",
        cls=KullbackLeiblerLoss,
        kwargs={},
        reference=lambda z, q: divergence(q, z),
        at_zero=lambda k: np.log(k),
        minimiser=lambda eta: eta,
    ),
    Row(
        name="brier",
        cls=BrierLoss,
        kwargs={},
        reference=lambda z, q: ((softmax(z) - q) ** 2).sum(-1),
        at_zero=lambda k: 1 - 1 / k,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="squared_scores",
        cls=SquaredScoresLoss,
        kwargs={"kappa": 1.0, "score": 1.0},
        reference=squared_scores,
        at_zero=lambda k: 1.0,
        bad={"kappa": [0, -1, "abc", None], "score": [0, -1, "abc", float("nan")]},
        boundary=[{"kappa": 3, "score": 30}, {"kappa": 1e-3, "score": 1e-3}],
        soft=False,
        shift_invariant=False,
        recovers=False,
    ),
    Row(
        name="hinge",
        cls=HingeLoss,
        kwargs={"margin": 1.0, "multiclass": "crammer_singer"},
        reference=hinge,
        at_zero=lambda k: 1.0,
        bad={"margin": [0, -1, "abc", None], "multiclass": ["one_vs_rest", None]},
        boundary=[{"multiclass": "weston_watkins"}, {"margin": 1e-3}, {"margin": 5, "multiclass": "weston_watkins"}],
        soft=False,
        recovers=False,
    ),
    Row(
        name="confidence_penalty",
        cls=ConfidencePenaltyLoss,
        kwargs={"beta": 0.1},
        reference=lambda z, q, beta: cross_entropy(z, q) + beta * (softmax(z) * log_softmax(z)).sum(-1),
        at_zero=lambda k: 0.9 * np.log(k),
        identities={"beta 0 is ce": ({"beta": 0.0}, ce())},
        bad={"beta": [-0.01, "abc", float("nan"), None]},
        boundary=[{"beta": 0}, {"beta": 1}, {"beta": 3}],
        soft=False,
        recovers=False,
        minimiser=lambda eta: confidence_penalty_minimiser(eta, 0.1),
    ),
    Row(
        name="generalized_ce",
        cls=GeneralizedCrossEntropyLoss,
        kwargs={"q": 0.7},
        reference=lambda z, t, q: -np.expm1(q * of_class(log_softmax(z), t)) / q,
        at_zero=lambda k: (1 - k**-0.7) / 0.7,
        identities={"q -> 0 is ce": ({"q": 1e-14}, ce())},
        bad={"q": [0, -0.1, 1.01, "abc", None]},
        boundary=[{"q": 1}, {"q": 1e-14}, {"q": 0.01}],
        soft=False,
        recovers=False,
        minimiser=lambda eta: normalised(eta ** (1 / 0.3)),
    ),
    Row(
        name="symmetric_ce",
        cls=SymmetricCrossEntropyLoss,
        kwargs={"alpha": 0.1, "beta": 1.0, "log_zero": -4.0},
        reference=lambda z, q, alpha, beta, log_zero: (
            alpha * cross_entropy(z, q) - beta * (softmax(z) * np.where(q == 1, 0.0, log_zero)).sum(-1)
        ),
        at_zero=lambda k: 0.1 * np.log(k) + 4 * (1 - 1 / k),
        identities={
            "alpha 1, beta 0 is ce": ({"alpha": 1, "beta": 0}, ce()),
            "alpha 1, log_zero 0 is ce": ({"alpha": 1, "log_zero": 0}, ce()),
            "alpha = beta = 1 is poly1 at -log_zero": ({"alpha": 1}, Poly1Loss(epsilon=4.0)),
        },
        bad={"alpha": [-0.1, "abc"], "beta": [-0.1, "abc", None], "log_zero": [0.1, "abc", float("-inf")]},
        boundary=[{"alpha": 0}, {"beta": 0}, {"alpha": 6, "log_zero": -9.21}],
        soft=False,
        recovers=False,
        minimiser=lambda eta: poly1_minimiser(eta, 4.0 / 0.1),
    ),
    Row(
        name="squentropy",
        cls=SquentropyLoss,
        kwargs={},
        reference=lambda z, q: cross_entropy(z, q) + ((1 - q) * z**2).sum(-1) / (z.shape[-1] - 1),
        at_zero=lambda k: np.log(k),
        soft=False,
        shift_invariant=False,
        recovers=False,
    ),
    Row(
        name="ldam",
        cls=LabelDistributionAwareMarginLoss,
        kwargs={"max_margin": 0.5, "scale": 30.0, "reweight_after": 0.0, **UNWEIGHTED},
        facts=class_counts,
        reference=margins,
        at_zero=lambda k: np.log1p(
            (k - 1) * np.exp(15 * (min(n := np.array(class_counts(k)["class_counts"])) / n) ** 0.25)
        ),
        identities={"scale 1 without a margin is ce": ({"scale": 1.0, "max_margin": 0.0}, ce())},
        bad={
            "max_margin": [-0.1, "abc", None],
            "scale": [0, -1, "abc", float("inf")],
            "reweight_after": [-0.1, 1, "abc", 0.5],  # 0.5 without class_weights does nothing
            **BAD_WEIGHTS,
            "class_counts": [*BAD_WEIGHTS["class_counts"], [1, 1, 1, 1, 0]],
        },
        boundary=[{"max_margin": 0}, {"scale": 0.1}, {"class_counts": [10**9, 1, 1, 1, 1]}, *WEIGHTINGS],
        soft=False,
        recovers=False,
        magnifies=lambda kwargs: 30.0,
    ),
    Row(
        name="logit_adjusted",
        cls=LogitAdjustedLoss,
        kwargs={"tau": 1.0},
        facts=class_counts,
        reference=lambda z, q, tau, class_counts: cross_entropy(
            z + tau * np.log(normalised(np.array(class_counts))), q
        ),
        at_zero=lambda k: -np.log(normalised(np.array(class_counts(k)["class_counts"]))),
        identities={
            "tau 0 is ce": ({"tau": 0.0}, ce()),
            "uniform counts are ce": ({"class_counts": [7] * 5}, ce()),
        },
        bad={"tau": [-0.1, "abc", None], "class_counts": [[], None, "abc", 5, [1, 1, 1, 1, 0], [1.0, 2.0], [1, -1]]},
        boundary=[{"tau": 0}, {"tau": 3}, {"class_counts": [10**9, 1, 1, 1, 1]}],
        soft=False,
        recovers=False,
        minimiser=lambda eta: normalised(eta / np.array(class_counts(len(eta))["class_counts"])),
    ),
    Row(
        name="post_hoc_adjusted",
        cls=PostHocAdjustedLoss,
        kwargs={"tau": 1.0},
        facts=class_counts,
        reference=lambda z, q, tau, class_counts: cross_entropy(z, q),
        at_zero=lambda k: np.log(k),
        identities={"its training is ce's": ({}, ce())},
        bad={"tau": [-0.1, "abc", None], "class_counts": [[], None, "abc", 5, [1, 1, 1, 1, 0], [1.0, 2.0], [1, -1]]},
        boundary=[{"tau": 0}, {"tau": 3}, {"class_counts": [10**9, 1, 1, 1, 1]}],
        soft=False,
        recovers=False,
        minimiser=lambda eta: normalised(eta / np.array(class_counts(len(eta))["class_counts"])),
    ),
    Row(
        name="logit_norm",
        cls=LogitNormLoss,
        kwargs={"tau": 0.04},
        reference=lambda z, q, tau: cross_entropy(
            z / (tau * np.maximum(1e-7, np.sqrt((z**2).sum(-1, keepdims=True)))), q
        ),
        at_zero=lambda k: np.log(k),
        bad={"tau": [0, -0.1, "abc", None]},
        boundary=[{"tau": 0.001}, {"tau": 100}],
        soft=False,
        shift_invariant=False,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="mmce",
        cls=MaximumMeanCalibrationErrorLoss,
        kwargs={"penalty": 2.0, "width": 0.4},
        reference=lambda z, q, penalty, width: cross_entropy(z, q) + calibration_error(z, q, penalty, width),
        # Of four examples, targets 0 to 3 modulo K, the first class is taken to be right: all tie.
        at_zero=lambda k: np.log(k) + 2 * np.sqrt((np.ceil(4 / k) / 4 - 1 / k) ** 2 + 1e-10),
        identities={"penalty 0 is ce": ({"penalty": 0}, ce())},
        bad={"penalty": [-0.1, "abc", None], "width": [0, -0.4, "abc"]},
        boundary=[{"penalty": 0}, {"penalty": 10}, {"width": 1e-3}, {"width": 100}],
        soft=False,
        minimiser=lambda eta: eta,
        magnifies=lambda kwargs: max(1.0, 0.01 / kwargs.get("width", 0.4)),  # the kernel's exponent
    ),
    Row(
        name="distillation",
        task="distillation",
        cls=KnowledgeDistillationLoss,
        kwargs={"alpha": 0.9, "temperature": 4.0},
        reference=distillation,
        at_zero=lambda k: 0.1 * np.log(k) + 0.9 * 4**2 * (np.log(k) - entropy(softmax(teacher_of(k) / 4))),
        identities={"alpha 0 is ce": ({"alpha": 0.0}, ce())},
        bad={"alpha": [-0.01, 1.01, "abc", None], "temperature": [0, -1, "abc", float("inf")]},
        boundary=[{"alpha": 0}, {"alpha": 1}, {"temperature": 0.5}, {"temperature": 100}],
        recovers=False,
        magnifies=lambda kwargs: max(1.0, kwargs.get("temperature", 4.0) ** 2 / 8),
    ),
]
