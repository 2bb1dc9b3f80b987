"""Temperature scaling: one number that makes a trained model's probabilities more or less sharp."""

import math

import torch
from torch import Tensor

from .calibration import bin_table, ece

BOUNDS = (0.01, 100.0)
EVENTS = 10  # right answers, and wrong ones, that a temperature is fitted to at least
GRID = torch.arange(1, 101, device="cpu").double() / 10  # 0.1, 0.2, ... 10, of Mukhoti et al. 2020, arXiv:2002.09437


def scaled(log_probs: Tensor, temperature: float) -> Tensor:
    """(N, K) log-probabilities of a loss's link -> log_softmax(log_probs / T), float64.

    For softmax this is to divide the logits; for other links it is the same change of sharpness, p^(1/T) normalised.
    """
    return (log_probs.double() / temperature).log_softmax(-1)


class NotFittedError(ValueError):
    """No temperature suits the data. The message, for the user, says why."""


def fit_temperature(log_probs: Tensor, targets: Tensor, criterion: str = "nll", of: str = "validation") -> float:
    """The T that suits (N, K) log-probabilities, ``of`` a split, to targets (N,) int.

    nll: minimises the mean nll, T within 0.01 to 100: the root of its slope in 1/T, in which it is convex, so that the
    minimum is the only one. ece_grid: the T of 0.1, 0.2, ... 10 with the least ECE, the nearest to 1 of equals.
    Raises NotFittedError where fewer than ``EVENTS`` examples are wrong or fewer are right, where the best T is an end
    of its range, and where the nll is not finite. Were all right, ever smaller T would have ever less nll; with one
    wrong, that example would choose T.
    Sources: Guo et al. 2017, arXiv:1706.04599, section 4.2; Peduzzi et al. 1996, A simulation study of the number of
    events per variable in logistic regression analysis (ten of the rarer outcome for each number that is fitted).
    """
    from scipy.optimize import brentq  # here, as in calibration.py

    z = log_probs.double()
    own = z.gather(-1, targets[:, None])[:, 0]

    def slope(log_t: float) -> float:
        """Of the mean nll in 1/T: what the log-probabilities are on average, less those of the targets."""
        p = scaled(z, math.exp(log_t)).exp()
        return (torch.where(p > 0, p * z, 0).sum(-1) - own).mean().item()

    def ece_at(t: float) -> float:
        top, guess = scaled(z, t).max(-1)
        return ece(bin_table(top.exp(), guess == targets)).item()

    if not (z.logsumexp(-1) - own).isfinite().all():
        raise NotFittedError(f"the nll of the {of} split is not finite")
    right = int((z.argmax(-1) == targets).sum())
    wrong = len(targets) - right
    if min(right, wrong) < EVENTS:
        raise NotFittedError(
            f"of {len(targets):,} {of} examples {right:,} are right and {wrong:,} wrong, and it takes at least"
            f" {EVENTS} of each"
        )
    if criterion == "ece_grid":
        best = min(GRID.tolist(), key=lambda t: (ece_at(t), abs(math.log(t))))
        inside = GRID[0] < best < GRID[-1]
    else:
        low, high = (math.log(bound) for bound in BOUNDS)
        inside = slope(low) > 0 > slope(high)
        nearer = BOUNDS[slope(low) > 0]
        best = math.exp(brentq(slope, low, high, xtol=1e-13, rtol=1e-13)) if inside else nearer
    if not inside:
        raise NotFittedError(f"the {of} split wants one at the end of the range, {best:.3g}")
    return best
