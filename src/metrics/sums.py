"""Sums over examples in float64, so that two ranks give what one gives; they can be kept in a checkpoint."""

from collections.abc import Callable, Sequence
from typing import Any

from ..system import torchvision_cpu  # noqa: F401  before torchmetrics, which imports torchvision

# isort: split
import torch
from torch import Tensor
from torch.nn import Module
from torchmetrics import Metric

Values = dict[str, float | None]


class Measure(Metric):
    """Adds up what is measured of batches, and gives the metrics by name.

    Its states are the number of examples and sums over them, in float64. Sub-classes write ``update`` and ``compute``.
    """

    full_state_update = False
    count: Tensor  # of examples
    _defaults: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add_sum(self, name: str, *shape: int) -> None:
        """A state: a sum over examples, and over ranks."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Module:
        """Go where the module goes, in float64: FSDP casts modules, and torchmetrics lets it."""
        super()._apply(fn, exclude_state)
        for name in self._defaults:
            if isinstance(getattr(self, name), Tensor) and getattr(self, name).is_floating_point():
                setattr(self, name, getattr(self, name).double())
                self._defaults[name] = self._defaults[name].double()
        return self

    # torchmetrics keeps states out of checkpoints; resuming in the middle of an interval needs them.
    def snapshot(self) -> dict[str, Any]:
        """The sums so far, as plain tensors."""
        return {name: getattr(self, name).clone() for name in self._defaults}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from ``snapshot``'s sums."""
        for name in self._defaults:
            setattr(self, name, state[name].to(self.device))
        self._update_count = int(self.count > 0)
        self._computed = None  # of the sums before


class Sums(Measure):
    """Means over examples of numbers by name, and what ``derived`` makes of them. Without examples all is NaN."""

    sums: Tensor

    def __init__(self, names: Sequence[str], derived: Callable[[dict[str, float]], Values]) -> None:
        super().__init__()
        self.names, self.derived = tuple(names), derived
        self.add_sum("sums", len(self.names))

    def update(self, values: dict[str, Tensor], batches: int = 1) -> None:
        """Add examples: (N,) each, by name; those of other names are none of its own.

        Several ``batches`` of one size, one behind the other, give the bits that they give one by one.
        """
        table = torch.stack([values[name].double() for name in self.names])  # (names, N)
        self.count += table.shape[1]
        for batch in table.chunk(batches, dim=1):
            self.sums += batch.sum(1)

    def compute(self) -> Values:
        return self.derived(dict(zip(self.names, (self.sums / self.count).tolist(), strict=True)))
