"""How alike two sets of images are, by a judge's features of them: real ones, and those that a network made.

Distances of nearest neighbours do not depend on the features' scale; the kernel distance does, and takes features whose
mean square over the real images is 1. All values depend on how many images there are, but for the expectation of the
kernel distance: compare those of one number of images only.
"""

import torch
from torch import Tensor

NEIGHBOURS = 5
AT_ONCE = 2**24  # distances that are held at a time


def nearest_distances(features: Tensor, others: Tensor, k: int, *, same: bool = False) -> Tensor:
    """(M, D), (N, D) -> (M,): the distance of each row to the k-th nearest of ``others``, or to their farthest.

    If both are the ``same``, a row is no neighbour of its own.
    """
    k = min(k, len(others) - same)
    parts = torch.split(features, max(1, AT_ONCE // len(others)))
    # of the k + 1 nearest, the first is the row itself
    return torch.cat([torch.cdist(part, others).kthvalue(k + same, dim=1).values for part in parts])


def coverage(real: Tensor, made: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """(N, D), (M, D) -> (N,) bool: whether a made image is as near to a real one as its k-th nearest real neighbour.

    The mean sees what is missing, and copies. For made images that are as real ones, N = M, it is 1 - 2^-k on average.
    Source: Naeem et al. 2020, arXiv:2002.09797, section 3.2 (k = 5).
    """
    return nearest_distances(real, made, 1) <= nearest_distances(real, real, k, same=True)


def precision(real: Tensor, made: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """(N, D), (M, D) -> (M,) bool: whether a made image is as near to any real one as its k-th nearest real neighbour.

    The mean does not see blur or what is missing. Source: Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 1.
    """
    radius = nearest_distances(real, real, k, same=True)
    return torch.cat([(torch.cdist(m, real) <= radius).any(1) for m in torch.split(made, max(1, AT_ONCE // len(real)))])


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """(N, D), (M, D) -> the squared maximum mean discrepancy of the kernel (x y / D + 1)^3, without bias.

    Features are divided by the root of the mean square of the real ones. Its expectation is 0 if both are draws of one
    distribution, so a value may be below 0. Source: Binkowski et al. 2018, arXiv:1801.01401, section 4 (KID).
    """
    scale = real.double().square().mean().sqrt()
    x, y = real.double() / scale, made.double() / scale
    n, m = len(x), len(y)
    within_x, within_y, between = (cubic(a, b) for a, b in ((x, x), (y, y), (x, y)))
    own = (within_x.sum() - within_x.trace()) / (n * (n - 1)) + (within_y.sum() - within_y.trace()) / (m * (m - 1))
    return (own - 2 * between.mean()).item()


def cubic(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def frechet_distance(real: Tensor, made: Tensor) -> float:
    """(N, D), (M, D) -> |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), of the means and covariances of both.

    With fewer than D images a covariance has no full rank. For two draws of one distribution it is above 0, and larger
    the fewer they are. Source: Heusel et al. 2017, arXiv:1706.08500, eq. 6, there of Inception's features (FID).
    """
    means, covariances = zip(*((f.double().mean(0), f.double().T.cov()) for f in (real, made)), strict=True)
    # (C C')^(1/2) has the trace of (C^(1/2) C' C^(1/2))^(1/2), which is symmetric
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    trace = covariances[0].trace() + covariances[1].trace()
    return ((means[0] - means[1]).square().sum() + trace - 2 * shared).item()
