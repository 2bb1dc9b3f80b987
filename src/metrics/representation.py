"""How features lie in their space, whatever the classes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .neighbours import classified
from .sums import Sums, Values

AT_ONCE = 2**22  # pairs whose distances are held at a time


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (N, D) -> (N,) float64: |a - b|^2 of each pair, both of length 1; from 0 to 4.

    Source: Wang & Isola 2020, arXiv:2005.10242, section 4.1 (alpha = 2).
    """
    return (normalize(a.double(), dim=-1) - normalize(b.double(), dim=-1)).square().sum(-1)


def uniformity(features: Tensor) -> float:
    """(N, D) -> log of the mean of e^(-2 |x - y|^2) over all pairs of different rows, of length 1; 0 if all are equal.

    Exact: all N (N - 1) pairs, some rows at a time. NaN for fewer than 2 rows.
    Source: Wang & Isola 2020, arXiv:2005.10242, section 4.1 (t = 2).
    """
    x, n = normalize(features.double(), dim=-1), len(features)
    rows, total = max(1, AT_ONCE // max(n, 1)), x.new_zeros(())
    for start in range(0, n, rows):
        pairs = (4 * (x[start : start + rows] @ x.T - 1)).exp()  # |x - y|^2 = 2 - 2 x y
        total += pairs.sum() - pairs.diagonal(start).sum()
    return (total / (n * (n - 1))).log().item() if n > 1 else float("nan")


def singular_values(features: Tensor) -> Tensor:
    """(N, D) -> (min(N, D),) float64: of the features less their mean, the largest first."""
    x = features.double()
    return torch.linalg.svdvals(x - x.mean(0))


def effective_rank(singular: Tensor) -> float:
    """e^H of singular values s, H = -sum p log p with p = s / sum s: how many directions are used; 0 if none is.

    Source: Roy & Vetterli 2007, The effective rank: a measure of effective dimensionality.
    """
    total = singular.sum()
    return torch.special.entr(singular / total).sum().exp().item() if total > 0 else 0.0


class RepresentationSums(Sums):
    """Means over examples by name, as ``Sums``, and "knn": the share of examples whose class is that of their nearest
    neighbours among all others, for features that come as "features" and their classes as "targets"."""

    features: list[Tensor]
    targets: list[Tensor]

    def __init__(self, names: Sequence[str], derived: Callable[[dict[str, float]], Values], classes: int) -> None:
        super().__init__(names, derived)
        self.classes = classes
        self.add_state("features", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, values: dict[str, Tensor], batches: int = 1) -> None:
        super().update(values, batches)
        self.features.append(values["features"])
        self.targets.append(values["targets"])

    def compute(self) -> Values:
        found = super().compute()
        if self.count < 2:
            return found
        features, targets = (
            kept if isinstance(kept, Tensor) else torch.cat([*kept]) for kept in (self.features, self.targets)
        )
        guess = classified(features, features, targets, self.classes, same=True)
        return found | {"knn": (guess == targets).double().mean().item()}
