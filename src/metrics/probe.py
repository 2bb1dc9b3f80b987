"""A linear probe: what a linear classifier reads in features that no longer change."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

L2 = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # from which the strength of the penalty is chosen, the strongest first
TOLERANCE = 1e-5  # of each entry of the gradient, at which a fit ends
ITERATIONS = 1000  # at most
FEW = 10  # labels a class of the probe that has few


@dataclass(frozen=True)
class Probe:
    """A linear classifier of features (N, D) into K classes, in float64."""

    mean: Tensor  # (D,) of the training features
    scale: Tensor  # (D,) one by their standard deviation, 0 where they never differ
    weight: Tensor  # (D, K) of the standardised features
    bias: Tensor  # (K,)
    l2: float

    def log_probs(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, K) float64."""
        mean, scale, weight, bias = (
            part.to(features.device) for part in (self.mean, self.scale, self.weight, self.bias)
        )
        return ((features.double() - mean) * scale @ weight + bias).log_softmax(-1)

    def plain(self) -> dict[str, Any]:
        """As lists of numbers, from which ``probe_of`` makes the same probe, bit for bit."""
        tensors = {name: getattr(self, name).tolist() for name in ("mean", "scale", "weight", "bias")}
        return tensors | {"l2": self.l2}


def probe_of(plain: Any) -> Probe:
    """The probe that ``Probe.plain`` wrote. Raises ValueError for what it did not write."""
    try:
        parts = {name: torch.tensor(plain[name], dtype=torch.float64) for name in ("mean", "scale", "weight", "bias")}
        found = Probe(**parts, l2=float(plain["l2"]))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"no linear probe ({type(error).__name__})") from error
    width, classes = found.weight.shape if found.weight.ndim == 2 else (0, 0)
    if not width or found.mean.shape != (width,) or found.scale.shape != (width,) or found.bias.shape != (classes,):
        raise ValueError("no linear probe (its parts do not fit together)")
    return found


class Features:
    """(N, D) features, standardised by their own mean and deviation and turned to their principal axes, in float64."""

    def __init__(self, features: Tensor) -> None:
        x = features.detach().double()
        deviation, self.mean = torch.std_mean(x, 0, correction=0)
        self.scale = torch.where(deviation > 1e-12 * x.abs().amax(0), 1 / deviation, 0.0)
        x = (x - self.mean) * self.scale
        if len(x) < x.shape[1]:  # the weights have no part beyond the axes of the examples: it would cost its penalty
            _, singular, axes = torch.linalg.svd(x, full_matrices=False)
            variance, self.axes = singular.square() / len(x), axes.T
        else:
            variance, self.axes = torch.linalg.eigh(x.T @ x / len(x))
        self.variance = variance.clamp_min(0)
        self.turned = x @ self.axes

    def fit(self, targets: Tensor, classes: int, l2: float, start: Probe | None = None) -> Probe:
        """Minimise mean cross-entropy + l2 / 2 sum of squared weights, for (N,) classes; the bias is not penalised.

        The problem is convex. L-BFGS goes from zero, or from ``start``, until no entry of the gradient is above
        ``TOLERANCE``; axis i is divided by sqrt(variance_i + l2) on the way, so that all curve about equally.
        """
        steps = (self.variance + l2).rsqrt()[:, None]
        zero = self.turned.new_zeros(len(steps), classes)
        weight = zero if start is None else self.axes.T @ start.weight / steps
        bias = zero[0] if start is None else start.bias
        parameters = [part.clone().requires_grad_() for part in (weight, bias)]
        optimizer = torch.optim.LBFGS(
            parameters,
            max_iter=ITERATIONS,
            max_eval=2 * ITERATIONS,
            tolerance_grad=TOLERANCE,
            tolerance_change=0.0,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def objective() -> Tensor:
            optimizer.zero_grad()
            weight, bias = steps * parameters[0], parameters[1]
            loss = cross_entropy(self.turned @ weight + bias, targets) + l2 / 2 * weight.square().sum()
            loss.backward()
            return loss

        with torch.enable_grad():
            optimizer.step(objective)  # type: ignore[no-untyped-call]
        weight, bias = (part.detach() for part in parameters)
        return Probe(self.mean, self.scale, self.axes @ (steps * weight), bias, l2)


def chosen(features: Tensor, targets: Tensor, val_features: Tensor, val_targets: Tensor, classes: int) -> Probe:
    """The probe of (N, D) features with the penalty of ``L2`` that gives the least nll on the validation split: from
    the strongest on, until the next gives no less."""
    given, best, least = Features(features), None, math.inf
    for l2 in L2:
        probe = given.fit(targets, classes, l2, best)
        nll = cross_entropy(probe.log_probs(val_features), val_targets).item()
        if best is not None and not nll < least:
            break
        best, least = probe, nll
    assert best is not None
    return best


def few(targets: Tensor, g: torch.Generator) -> Tensor:
    """Indices of ``FEW`` random examples of each class of (N,) targets, all where a class has fewer; ascending."""
    order = torch.randperm(len(targets), generator=g)
    found = [order[targets[order] == k][:FEW] for k in torch.unique(targets)]
    return torch.cat(found).sort().values
