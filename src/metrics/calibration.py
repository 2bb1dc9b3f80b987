"""How far confidence is from accuracy, from each example's confidence and whether it was right.

Everything is float64; ``right`` may be an expected accuracy in [0, 1] where targets are distributions.
"""

import math

import torch
from torch import Tensor

BINS = 15
COUNT, CONFIDENCE, RIGHT = range(3)  # the rows of a bin table
CELLS = 2**15  # of the grid of the smooth ECE


def bin_of(p: Tensor) -> Tensor:
    """Index of the equal-width bin (a, b] of each probability; 0 falls in the first.

    Source of the 15 bins: Guo et al. 2017, arXiv:1706.04599, section 4.
    """
    inner = torch.arange(1, BINS, dtype=torch.float64, device=p.device) / BINS
    return torch.bucketize(p, inner)


def bin_table(confidence: Tensor, right: Tensor) -> Tensor:
    """(N,), (N,) -> (3, 15): each bin's number of examples, sum of confidence and sum of right."""
    table = torch.zeros(3, BINS, dtype=torch.float64, device=confidence.device)
    return add_to_bins(table, confidence, right)


def add_to_bins(table: Tensor, confidence: Tensor, right: Tensor) -> Tensor:
    """Add examples to a bin table: the same bits however they are cut into calls."""
    rows = torch.stack([torch.ones_like(confidence), confidence, right.to(confidence.dtype)])
    return table.index_add_(1, bin_of(confidence), addable(rows))


def addable(values: Tensor) -> Tensor:
    """Numbers whose sum does not depend on the order in which a device adds them.

    A CPU adds one after the other. Other devices add in an order that changes, so there numbers are rounded to
    multiples of 2^-30. Float64 holds every sum of such numbers exactly below 2^23, some 8 million examples of a bin.
    """
    return values if values.device.type == "cpu" else rounded(values)


def rounded(values: Tensor) -> Tensor:
    """To multiples of 2^-30."""
    return (values * 2**30).round() / 2**30


def ece(table: Tensor) -> Tensor:
    """Expected calibration error: sum_b n_b / N |accuracy_b - confidence_b|.

    Source: Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599, eq. 3.
    """
    return (table[RIGHT] - table[CONFIDENCE]).abs().sum() / table[COUNT].sum()


def mce(table: Tensor) -> Tensor:
    """Maximum calibration error: max_b |accuracy_b - confidence_b| over the bins that hold examples (same, eq. 5)."""
    return ((table[RIGHT] - table[CONFIDENCE]).abs() / table[COUNT].clamp_min(1)).max()


def adaptive_ece(confidence: Tensor, right: Tensor) -> float:
    """ECE over 15 bins of equal mass: the examples in order of confidence, cut as evenly as they go.

    Within a tie, whose order says nothing, each example counts the tie's mean of right.
    Source: Nguyen & O'Connor 2015, arXiv:1508.05154; Mukhoti et al. 2020, arXiv:2002.09437.
    """
    conf, order = confidence.sort()
    gap = tie_means(conf, right[order]) - conf
    return sum(abs(part.sum().item()) for part in gap.tensor_split(BINS)) / len(gap)


def tie_means(values: Tensor, right: Tensor) -> Tensor:
    """(N,) sorted, (N,) -> (N,): the mean of right over all examples of the same value."""
    _, tie, sizes = torch.unique_consecutive(values, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(sizes), dtype=torch.float64, device=values.device).index_add_(0, tie, right.double())
    return (sums / sizes)[tie]


def smooth_ece(confidence: Tensor, right: Tensor) -> float:
    """(N,), (N,) -> smECE: the s in [0, 1] at which smECE_s = s, which has no bins and no width to choose.

    smECE_s = integral over t in [0, 1] of |mean_i (right_i - confidence_i) K_s(t, confidence_i)|, with K_s the Gaussian
    kernel of deviation s, reflected at 0 and 1. It falls as s grows, so there is one such s. Its cosine coefficients
    are those of the gaps times exp(-(k pi s)^2 / 2), exactly. The gaps are shared linearly between the two nearest of
    32,769 points, of width h: that moves smECE_s by at most h^2 / (8 s^2) times the mean |gap|, which is below 1e-5
    from s = 0.0035 on. Where all gaps have one sign, it is |mean gap| at every s. smECE_s is at most the mean |gap|;
    what the grid adds to that at an s near h is taken off.
    Source: Błasiok and Nakkiran 2024, arXiv:2309.12236, definition 2, eq. 3 and section 3.
    """
    from scipy.fft import dct  # here, as in _scale
    from scipy.optimize import brentq

    at, gap = confidence.double() * CELLS, (right.double() - confidence.double()) / len(confidence)
    left = at.floor().clamp(0, CELLS - 1)
    cells = torch.zeros(CELLS + 1, dtype=torch.float64)
    for point, share in ((left, left + 1 - at), (left + 1, at - left)):
        cells.index_add_(0, point.long(), gap * share)
    ends = torch.ones(CELLS + 1, dtype=torch.float64)
    ends[[0, -1]] = 2  # what dct counts once there
    waves = torch.from_numpy(dct((cells * ends).numpy() / 2, type=1))
    squares = (torch.arange(CELLS + 1, dtype=torch.float64) * math.pi).square() / 2
    most = gap.abs().sum().item()

    def excess(s: float) -> float:
        smoothed = torch.from_numpy(dct((waves * (-squares * s * s).exp()).numpy(), type=1)).abs()
        return min((smoothed / ends).sum().item() / CELLS, most) - s

    return float(brentq(excess, 0.0, 1.0, xtol=1e-12)) if excess(0.0) > 0 else 0.0


def ece_interval(confidence: Tensor, right: Tensor, *, block: int, g: torch.Generator) -> tuple[float, float]:
    """95 % interval of the ECE of the population, from 1,000 bootstrap resamples of blocks of ``block`` examples.

    Characters of one window depend on each other, so they are drawn together (images: block 1). Chance alone makes the
    ECE of a sample positive, so the usual percentiles all but never cover a small true ECE. Instead the interval holds
    the values s e, s >= 0, whose samples would often enough look like this one: with m_b the gaps of this sample's bins
    (e = sum_b |m_b|) and d_b the bootstrap's deviations from them, e must lie between the 2.5 % and the 97.5 % quantile
    of sum_b |s m_b + d_b|. The estimate itself may lie above it.
    """
    blocks = -(-len(confidence) // block)
    member = torch.arange(len(confidence)) // block
    gap = torch.zeros(blocks, BINS, dtype=torch.float64)
    gap.index_put_((member, bin_of(confidence)), right.double() - confidence, accumulate=True)
    sizes = torch.bincount(member, minlength=blocks).double()
    means = []
    for _ in range(10):
        drawn = torch.randint(blocks, (100, blocks), generator=g)
        times = torch.zeros(100, blocks, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())
        means.append((times @ gap) / (times @ sizes)[:, None])
    observed = gap.sum(0) / sizes.sum()
    deviations = torch.cat(means) - observed
    return _scale(observed, deviations, 0.975), _scale(observed, deviations, 0.025)


def _scale(gaps: Tensor, deviations: Tensor, quantile: float) -> float:
    """The ECE s e whose samples' ``quantile`` is the observed e; 0 where it is above e even for s = 0."""
    e = gaps.abs().sum()

    from scipy.optimize import brentq  # here: SciPy takes as long as half of torch, and most uses need none of it

    def excess(s: float) -> float:
        return ((s * gaps + deviations).abs().sum(1).quantile(quantile) - e).item()

    if excess(0.0) >= 0:
        return 0.0
    high = 1.0
    while excess(high) < 0:
        high *= 2
    return brentq(excess, 0.0, high, xtol=1e-6) * e.item()
