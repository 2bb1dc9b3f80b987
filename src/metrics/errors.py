"""The errors of predicted points, added up, and the CRPS that they have among each other."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .sums import Sums, Values


class ErrorSums(Sums):
    """Means over examples by name, as ``Sums``; with ``pairs`` "crps" too, of errors that come as "error"."""

    errors: list[Tensor]

    def __init__(
        self, names: Sequence[str], derived: Callable[[dict[str, float]], Values], *, pairs: bool = False
    ) -> None:
        super().__init__(names, derived)
        self.pairs = pairs
        if pairs:
            self.add_state("errors", [], dist_reduce_fx="cat")

    def update(self, values: dict[str, Tensor], batches: int = 1) -> None:
        super().update(values, batches)
        if self.pairs:
            self.errors.append(values["error"].double())

    def compute(self) -> Values:
        found = super().compute()
        if not self.pairs:
            return found
        errors = self.errors if isinstance(self.errors, Tensor) else torch.cat([*self.errors, self.sums.new_zeros(0)])
        return found | {"crps": crps_among(errors)}


def crps_among(errors: Tensor) -> float:
    """Mean CRPS of examples, each with its point plus the error of any other as its distribution; NaN for fewer than 3.

    That is S (1 - (M - 2) / (2 (M - 1))) / (M (M - 1)) for M errors e, with S the sum of |e_i - e_j| over all i and j.
    """
    m = len(errors)
    if m < 3:
        return float("nan")
    places = 2 * torch.arange(1, m + 1, dtype=torch.float64, device=errors.device) - m - 1
    total = 2 * (places @ errors.sort().values).item()
    return total * (1 - (m - 2) / (2 * (m - 1))) / (m * (m - 1))
