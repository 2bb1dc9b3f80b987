"""A proper score as calibration + refinement: what the best recalibration takes away, and what it leaves.

    S(p, y) = [S(p, y) - S(g(p), y)] + S(g(p), y)

With g(p) the distribution of y given p, the expectations are the calibration error and the refinement error of the
model (Bröcker 2009; Kull and Flach 2015). With g the best of a smaller class of maps, the first is a lower bound of the
calibration error and the second an upper bound of the refinement error (Berta et al. 2025, variational form). Each
score has the class in which its best map is found exactly: nll a temperature, in 1/T of which it is convex, Brier a
non-decreasing map of the confidence. An isotonic map has no nll worth the name: it says 0 where it saw none, and one
such example makes the mean infinite.

A map that is fitted to the very examples which it is scored on always takes something away, also of a calibrated model
(Bröcker 2012). So g is cross-fitted: each fifth of the test examples is mapped by what the other four fifths taught.
Then both parts are means over examples and their sum is the score. Of a calibrated model the calibration is 0 up to
what the map costs to learn, and so a little below 0 as often as not.

Sources: Bröcker 2009, QJRMS 135, 1512, arXiv:0806.0813; Bröcker 2012, Climate Dynamics 39, 655; Kull and Flach 2015,
ECML, Novel decompositions of proper scoring rules; Berta et al. 2025, arXiv:2501.19195.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .temperature import fit_temperature, scaled

FOLDS = 5
PARTS = ("nll_calibration", "nll_refinement", "brier_calibration", "brier_refinement")
Map = Callable[[Tensor], Tensor]


def split_scores(log_probs: Tensor, targets: Tensor, nll: Tensor, brier: Tensor) -> dict[str, Tensor]:
    """(N, K) log-probabilities, (N,) classes and their scores (N,) -> the parts of both scores by name, (N,) float64.

    Raises NotFittedError where the examples do not determine a temperature.
    """
    index = targets[:, None]

    def warmed(given: Tensor, classes: Tensor) -> Map:
        t = fit_temperature(given, classes, of="test")
        return lambda held: scaled(held, t)

    after = -cross_fitted(warmed, log_probs.double(), targets).gather(1, index)[:, 0]
    mapped = cross_fitted(isotonic, log_probs.double().exp(), targets)
    left = (mapped.square().sum(1) + 1 - 2 * mapped.gather(1, index)[:, 0]).clamp_min(0)
    return dict(zip(PARTS, (nll - after, after, brier - left, left), strict=True))


def cross_fitted(fit: Callable[[Tensor, Tensor], Map], given: Tensor, targets: Tensor) -> Tensor:
    """Each row of (N, K) by the map that ``fit`` makes of the other folds: example i is in fold i mod 5."""
    fold = torch.arange(len(given)) % FOLDS
    mapped = torch.empty_like(given)
    for number in range(FOLDS):
        held = fold == number
        mapped[held] = fit(given[~held], targets[~held])(given[held])
    return mapped


def isotonic(p: Tensor, targets: Tensor) -> Map:
    """The non-decreasing map of the confidence, (N, K) and (N,) classes, with the least Brier score; the classes that
    are not guessed share the rest as they did.

    With c the new confidence, a = [guess = y] and r the shares of the others, the Brier score is a parabola in c:
    (1 + R) (c - z)^2 + ..., R = sum_k r_k^2, z = (a + R - r_y) / (1 + R). So the best map is the weighted isotonic
    regression of z (pool adjacent violators), cut to [0, 1]; between the confidences that it saw it is linear, beyond
    them constant. A map of each class by itself (one against the rest) sees more, but of 1,000 examples with 50
    mistakes ten such maps learn so little that cross-fitted they add to the score instead.
    """
    confidence, guess, share = parted(p)
    squares = share.square().sum(1)
    z = (guess == targets).double() + squares - share.gather(1, targets[:, None])[:, 0]
    line = increasing(confidence, z / (1 + squares), 1 + squares)

    def mapped(held: Tensor) -> Tensor:
        confidence, guess, share = parted(held)
        top = line(confidence)[:, None]
        return (share * (1 - top)).scatter(1, guess[:, None], top)

    return mapped


def parted(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, K) -> confidence (N,), guess (N,), and how the others share the rest, (N, K) with 0 for the guess: equally if
    there is none."""
    confidence, guess = p.max(1)
    rest = p.scatter(1, guess[:, None], 0.0)
    total = rest.sum(1, keepdim=True)
    equal = torch.full_like(p, 1 / (p.shape[1] - 1)).scatter(1, guess[:, None], 0.0)
    return confidence, guess, torch.where(total > 0, rest / total, equal)


def increasing(x: Tensor, y: Tensor, weights: Tensor) -> Map:
    """The map of x (N,) to [0, 1] that never falls and is nearest to y (N,) in weighted squares."""
    from scipy.optimize import isotonic_regression  # here, as in calibration.py

    at, tie = torch.unique(x, return_inverse=True)
    mass = torch.zeros_like(at).index_add_(0, tie, weights)
    mean = torch.zeros_like(at).index_add_(0, tie, weights * y) / mass
    fitted = torch.from_numpy(isotonic_regression(mean.numpy(), weights=mass.numpy()).x).clamp(0, 1)

    def line(held: Tensor) -> Tensor:
        if len(at) == 1:
            return fitted.expand(len(held))
        right = torch.searchsorted(at, held).clamp(1, len(at) - 1)
        share = ((held - at[right - 1]) / (at[right] - at[right - 1])).clamp(0, 1)
        return torch.lerp(fitted[right - 1], fitted[right], share)

    return line
