"""How alike two sets of images are, by a judge's features of them: real ones, and those that a network made.

Distances of nearest neighbours do not depend on the features' scale. The kernel distance does, and takes features whose
mean square over the real images is 1. All values depend on how many images there are, but for the expectation of the
kernel distance: compare only those of one number of images.
"""

import torch
from torch import Tensor

NEIGHBOURS = 5
AT_ONCE = 2**24  # distances that are held at a time


def nearest(features: Tensor, others: Tensor, k: int, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """(M, D), (N, D) -> (M,), (M,): the distance of each row to the k-th nearest of ``others``, or to their farthest,
    and which one that is.

    If both are the ``same``, a row is no neighbour of its own. Neighbours are found by a product of matrices,
    which rounds. The distance is then that of the two rows themselves, so equal rows are at 0.
    """
    k = min(k, len(others) - same)
    found = []
    for start in range(0, len(features), rows := max(1, AT_ONCE // len(others))):
        part = distances(features[start : start + rows], others)
        if same:
            part.diagonal(start).fill_(torch.inf)
        found.append(part.argmin(1) if k == 1 else part.kthvalue(k, dim=1).indices)
    index = torch.cat(found)
    return (features - others[index]).norm(dim=1), index


def distances(features: Tensor, others: Tensor) -> Tensor:
    """(M, D), (N, D) -> (M, N), by a product of matrices."""
    return torch.cdist(features, others, compute_mode="use_mm_for_euclid_dist")


def radii(real: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """(N, D) -> (N,): the distance of each real image to its k-th nearest real neighbour."""
    return nearest(real, real, k, same=True)[0]


def coverage(real: Tensor, made: Tensor, k: int = NEIGHBOURS, *, radius: Tensor | None = None) -> Tensor:
    """(N, D), (M, D) -> (N,) bool: whether a made image is as near to a real one as its k-th nearest real neighbour.

    ``radius`` (N,) is what ``radii`` gives, if it is known already.
    The mean sees what is missing, and copies. For made images that are as real ones, N = M, it is 1 - 2^-k on average.
    Source: Naeem et al. 2020, arXiv:2002.09797, section 3.2 (k = 5).
    """
    return nearest(real, made, 1)[0] <= (radii(real, k) if radius is None else radius)


def precision(real: Tensor, made: Tensor, k: int = NEIGHBOURS, *, radius: Tensor | None = None) -> Tensor:
    """(N, D), (M, D) -> (M,) bool: whether a made image is as near to any real one as its k-th nearest real neighbour.

    ``radius`` (N,) is what ``radii`` gives, if it is known already.
    The mean does not see blur or what is missing. Source: Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 1.
    """
    radius = radii(real, k) if radius is None else radius
    parts = torch.split(made, max(1, AT_ONCE // len(real)))
    return torch.cat([(distances(part, real) <= radius).any(1) for part in parts])


def memorised(train: Tensor, made: Tensor) -> Tensor:
    """(N, D), (M, D) -> (M,) bool: whether a made image is as near to a training image as that one's nearest neighbour
    in training. Of new real images some are too, so compare with those."""
    distance, index = nearest(made, train, 1)
    known, place = torch.unique(index, return_inverse=True)
    others = nearest_but(train, known)
    return distance <= others[place]


def nearest_but(train: Tensor, rows: Tensor) -> Tensor:
    """(N, D), (R,) -> (R,): the distance of each of these rows to the nearest other row."""
    found = []
    for part in torch.split(rows, max(1, AT_ONCE // len(train))):
        between = distances(train[part], train)
        between[torch.arange(len(part), device=part.device), part] = torch.inf
        found.append((train[part] - train[between.argmin(1)]).norm(dim=1))
    return torch.cat(found)


def kernel_gaps(real: Tensor, made: Tensor) -> Tensor:
    """(N, D), (N, D) -> (N,) float64: numbers whose mean is the kernel distance, and whose standard error is its.

    It is the squared maximum mean discrepancy of the kernel (x y / D + 1)^3, without bias, with features divided by the
    root of the mean square of the real ones. Its expectation is 0 if both are draws of one distribution, so a value may
    be below 0. Of pair i the number is 2 h_i - mean h, where h_i is what the i-th real and the i-th made image add to
    it: each pair is in two sums, so h alone would vary half as much as the distance does (the delta method).
    Sources: Gretton et al. 2012, JMLR 13, eq. 3; Binkowski et al. 2018, arXiv:1801.01401, section 4 (KID).
    """
    scale = real.double().square().mean().sqrt()
    x, y, n = real.double() / scale, made.double() / scale, len(real)
    h = torch.zeros_like(x[:, 0])
    for start in range(0, n, rows := max(1, AT_ONCE // n)):
        chosen = slice(start, start + rows)
        for z in (x, y):
            h[chosen] += (cubic(z[chosen], z).sum(1) - cubic_of(z[chosen])) / (n - 1)
        between = cubic(x[chosen], y)
        h[chosen] -= between.sum(1) / n
        h -= between.sum(0) / n
    return 2 * h - h.mean()


def cubic(x: Tensor, y: Tensor) -> Tensor:
    linear = (x / x.shape[1]) @ y.T + 1
    return linear * linear * linear  # a power would take several times as long


def cubic_of(x: Tensor) -> Tensor:
    """(N, D) -> (N,): the kernel of each row and itself."""
    return (x.square().mean(1) + 1) ** 3


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


def class_divergence(real: Tensor, made: Tensor, classes: int) -> float:
    """(N,), (M,) classes -> KL(shares in the real images, shares in the made ones), in nats.

    Each class counts one image more than there are, so that one which is never made is no infinity.
    """
    of_real, of_made = (torch.bincount(seen, minlength=classes).double() + 1 for seen in (real, made))
    p, q = of_real / of_real.sum(), of_made / of_made.sum()
    return (p * (p / q).log()).sum().item()
