"""The families of losses: what a loss is given, and what it must answer.

A loss returns one number per example; the task takes the mean. Logarithms are natural.
Where a constructor has ``num_classes`` or ``class_counts`` (examples of each class in the training split), these are
facts of the data: whoever builds the loss passes them, and they are in no option file. All other arguments are, and
are written without defaults: those of the option file, conf/loss/MODULE.yaml, become the constructor's.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..checks import choice, counts, number, positives
from . import option

ClassWeights = str | Sequence[float] | None


def upcast(logits: Tensor) -> Tensor:
    """Raise float16 and bfloat16 to float32: their 8 to 11 bits lose log-probabilities. float64 is kept."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def of_class(values: Tensor, classes: Tensor) -> Tensor:
    """(N, K), (N,) int -> (N,): each example's value of its class."""
    return values.gather(-1, classes.unsqueeze(-1)).squeeze(-1)


def expectation(values: Tensor, targets: Tensor) -> Tensor:
    """(N, K), (N,) int or (N, K) distribution -> (N,): the value of the target class, or sum_k q_k v_k."""
    return (targets * values).sum(-1) if targets.is_floating_point() else of_class(values, targets)


def is_class(logits: Tensor, classes: Tensor) -> Tensor:
    """(N, K), (N,) int -> (N, K) bool: true in the column of each example's class."""
    return torch.zeros_like(logits, dtype=torch.bool).scatter(-1, classes.unsqueeze(-1), True)


def distribution(targets: Tensor, logits: Tensor) -> Tensor:
    """(N,) int or (N, K) distribution -> (N, K) distribution in the dtype of ``logits``; a class becomes one-hot."""
    return (targets if targets.is_floating_point() else is_class(logits, targets)).to(logits.dtype)


def log_complement(log_p: Tensor) -> Tensor:
    """(N, K) -> (N, K): log(1 - p_k) for log_p = log_softmax(logits), K >= 2, without cancellation.

    1 - p rounds to 0 where p is near 1, so the top class takes the logsumexp of the others; the rest have p <= 1/2.
    Of the logits themselves that sum would carry the rounding of their size.
    """
    is_top = is_class(log_p, log_p.argmax(-1))
    others = log_p.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    # p of the top class is replaced before log1p, not after: the gradient of an unused infinity is NaN.
    return torch.where(is_top, others, torch.log1p(-log_p.exp().masked_fill(is_top, 0.0)))


class UnseenClassError(ValueError):
    """Classes are weighed by how often they are in the training split, and it lacks one."""


def weights_of_classes(
    class_weights: ClassWeights, effective_number_beta: float | None, class_counts: Sequence[int] | None
) -> Tensor | None:
    """(K,) float64 weights w of mean 1 over the training split, sum_k n_k w_k / N = 1; None if all weigh the same.

    A list gives the weights up to that scale. ``balanced``: w_k ~ 1 / n_k, so w_k = N / (K n_k).
    ``effective_number``: w_k ~ (1 - beta) / (1 - beta^n_k), Cui et al. 2019, arXiv:1901.05555, beta being
    ``effective_number_beta``, 0.999 if that is None; 0 weighs all the same, beta -> 1 is balanced.
    """
    if isinstance(class_weights, str):
        choice("class_weights", class_weights, ("balanced", "effective_number"))
    beta = (
        0.999
        if effective_number_beta is None
        else number("effective_number_beta", effective_number_beta, low=0, below=1)
    )
    if effective_number_beta is not None and class_weights != "effective_number":
        raise ValueError(f"effective_number_beta must be null unless class_weights=effective_number, got {beta}")
    if class_counts is None and class_weights is None:
        return None
    n = counts("class_counts", class_counts, low=0)
    if isinstance(class_weights, str) and 0 in n:  # a list may have classes without examples
        raise UnseenClassError(f"class_counts must be a list of integers >= 1, or a weight is infinite, got {n}")
    if class_weights is None:
        return None
    if class_weights == "balanced":
        raw = [1 / k for k in n]
    elif class_weights == "effective_number":
        log_beta = math.log(beta) if beta else -math.inf
        raw = [(1 - beta) / -math.expm1(k * log_beta) for k in n]  # 1 - beta^k would round where beta is near 1
    else:
        raw = positives("class_weights", class_weights, length=len(n))
    scale = sum(n) / sum(k * w for k, w in zip(n, raw, strict=True))
    return torch.tensor([w * scale for w in raw], dtype=torch.float64)


class Scalar(NamedTuple):
    """A number that a network has for its loss: where it starts, and whether it is learnt."""

    start: float
    learnt: bool = True


class Loss(nn.Module):
    """What every loss is, of whatever family: arguments whose defaults are those of its option file."""

    reads: ClassVar[str] = "logits"  # of a network, one that ``gives`` them
    # True: an example's number depends on the rest of its batch. A name: it does if that argument is not 0.
    batch_statistic: ClassVar[bool | str] = False
    compiles: ClassVar[bool] = True  # false: torch.compile has no graph for it
    # True: its value has a gradient of the network in it. A name: it has if that argument is not 0.
    second_derivative: ClassVar[bool | str] = False
    imitates: ClassVar[bool] = False  # true: it learns what images look like, so that they may not be mixed
    parts: ClassVar[tuple[str, ...]] = ()  # names of the terms that are logged apart
    cosines: ClassVar[bool] = False  # true: it wants cosines as logits, so the network's head becomes a CosineLinear

    def __init_subclass__(cls, **keys: Any) -> None:
        """Make the values of the class's option file the defaults of its constructor: they are written only there."""
        super().__init_subclass__(**keys)
        target, arguments = option(cls.__module__.rpartition(".")[2])
        if target == f"{cls.__module__}.{cls.__qualname__}" and "__init__" in vars(cls):
            vars(cls)["__init__"].__kwdefaults__ = arguments | (vars(cls)["__init__"].__kwdefaults__ or {})

    def __init__(self) -> None:
        super().__init__()  # nn.Module's own takes *args and **kwargs; a loss without arguments says that it has none

    def outputs(self, num_classes: int) -> int:
        """How many numbers the model must give for ``num_classes`` classes."""
        return num_classes

    def scalars(self, batch_size: int) -> dict[str, Scalar]:
        """The numbers that a network has for this loss, by name, if training batches have this size."""
        return {}

    def reached(self, share: float) -> None:
        """Called before each optimizer step with the share of the training's steps that are done, in [0, 1).

        For a loss that changes on the way. What it does must depend on ``share`` only, so that a resumed run has it
        too, and only ``self.training`` may make use of it: evaluation has one loss, whenever it is done.
        """


class LogitLoss(Loss):
    """What every loss over the logits of K classes answers: their number, and how they become probabilities."""

    targets = "class"  # which it learns from: data give them
    soft_targets: ClassVar[bool] = False  # true: targets may be distributions over classes, (N, K) floats

    def log_probs(self, logits: Tensor) -> Tensor | None:
        """(N, outputs) -> (N, K): log P(class) as this loss reads its logits; None if scores are no probabilities."""
        return upcast(logits).log_softmax(-1)


class ClassificationLoss(LogitLoss):
    """Loss of K-way classification: ``forward(logits (N, K), targets) -> (N,)``.

    Targets are classes, (N,) integers, or distributions over classes, (N, K) floats, where ``soft_targets`` is true.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, outputs), (N,) int or (N, K) -> (N,): one number per example."""
        raise NotImplementedError


class WeightedLoss(ClassificationLoss):
    """Classification loss with a weight on each class: w_y * loss(z, y); for a distribution, sum_k q_k w_k loss(z, k).

    The task takes the plain mean, so weights of mean 1 keep the size of the loss and one meaning for both kinds of
    target (torch divides by sum w_y for classes and by N for distributions). A loss whose link recovers the class
    probabilities eta without weights recovers eta_k w_k, normalised, with them.
    """

    class_weight: Tensor | None

    def __init__(
        self, *, class_weights: ClassWeights, effective_number_beta: float | None, class_counts: Sequence[int] | None
    ) -> None:
        super().__init__()
        weight = weights_of_classes(class_weights, effective_number_beta, class_counts)
        self.register_buffer("class_weight", weight, persistent=False)

    def unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, outputs), (N,) int or (N, K) -> (N,): the loss with all weights 1; linear in a distribution."""
        raise NotImplementedError

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.class_weight is None:
            return self.unweighted(logits, targets)
        weight = self.class_weight.to(upcast(logits).dtype)
        if not targets.is_floating_point():
            return weight[targets] * self.unweighted(logits, targets)
        # Linear in q: sum_k q_k w_k loss(z, k) is the mean weight times the loss for the distribution q w / mean.
        mean = (targets * weight).sum(-1, keepdim=True)
        return mean.squeeze(-1) * self.unweighted(logits, targets * weight / mean)


class DistillationLoss(LogitLoss):
    """Loss of a student that learns from a teacher: ``forward(student (N, K), teacher (N, K), targets) -> (N,)``.

    No gradient reaches the teacher. Targets are as in ``ClassificationLoss``.
    """

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """(N, K), (N, K), targets -> the parts of the loss by name, (N,) each, to be logged apart."""
        raise NotImplementedError

    def forward(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        """(N, K), (N, K), (N,) int or (N, K) -> (N,): the sum of the terms."""
        return torch.stack(list(self.terms(student, teacher, targets).values())).sum(0)
