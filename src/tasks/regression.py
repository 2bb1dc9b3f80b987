"""Regression: a number for each example, and what a loss says of how far off it may be."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import EvalLoader
from ..figures.values import value_pictures
from ..losses.regression import Normal, RegressionLoss, Steps
from ..metrics.distributions import Distribution, NormalDistribution, PointsDistribution, ResidualDistribution
from ..metrics.errors import ErrorSums
from ..metrics.families import regression
from ..metrics.sums import Measure
from ..plain import Plain
from .base import Task, joined
from .stepping import Named, Seen

INTERVAL = 0.9  # of the central interval whose coverage and width are measured
LEVELS = tuple(k / 20 for k in range(1, 20))  # of the central intervals of the coverage curve
FLOOR = "training mean"
BINS = 10  # of the histogram of ranks


class RegressionTask(Task):
    """Feeds a model's numbers to a regression loss; judges point and distribution, in the unit of the target.

    A loss that predicts a distribution is judged by it. A loss that predicts a point alone gets the distribution of its
    errors on the validation split about that point: ``adjusted`` are these errors, in ascending order.
    """

    minimises = RegressionLoss
    takes = ("value",)
    adjusts = True

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.family = regression(self.spec.unit)

    def measure(self, *, whole: bool) -> Measure:
        """Of whole splits, a loss of a point has a crps too: by the errors of the other examples."""
        names = ("loss", *self.loss.parts, *self._columns())
        return ErrorSums(names, self.derived, pairs=whole and "crps" not in names)

    def _columns(self) -> list[str]:
        """The means over examples that every batch gives."""
        one = torch.zeros(1, self.loss.outputs(), dtype=torch.float64)
        kept = self.examples({"prediction": one, "targets": torch.zeros(1)})
        return [name for name in kept if name not in KEPT]

    def derived(self, means: dict[str, float]) -> dict[str, float | None]:
        return {**means, "rmse": math.sqrt(means["squared_error"])}

    def judge(self, given: Named) -> Seen:
        targets = given["targets"]  # none, where a rank only computes along with the others
        prediction = self(given["inputs"])[: len(targets)]
        return {"loss": self.loss(prediction, targets)}, {"prediction": prediction, "targets": targets}

    def examples(self, answer: Named) -> Named:
        """Target, predicted point and error; a column for each metric that is a mean over examples; and, of the
        distribution if there is one, the ends of the 90 % interval and the target's rank. All (N,), in the unit of the
        target.
        """
        prediction = answer["prediction"].double()
        y, point = self._in_unit(answer["targets"].double()), self._in_unit(self.loss.point(prediction))
        error = y - point
        columns = {"targets": y, "point": point, "error": error, "mae": error.abs(), "squared_error": error.square()}
        found = self._distribution(prediction, point)
        return columns if found is None else columns | judged(found, y)

    def _in_unit(self, values: Tensor) -> Tensor:
        return values * self.spec.target_std + self.spec.target_mean

    def _distribution(self, prediction: Tensor, point: Tensor) -> Distribution | None:
        """In the target's unit."""
        found, scale = self.loss.distribution(prediction), self.spec.target_std
        if isinstance(found, Normal):
            return NormalDistribution(self._in_unit(found.mean), scale * (found.log_variance / 2).exp())
        if isinstance(found, Steps):
            return PointsDistribution(self._in_unit(found.values), found.weights)
        return None if self.adjusted is None else ResidualDistribution(point, point.new_tensor(self.adjusted))

    def adjust(self, answers: Iterator[Named]) -> list[str]:
        whole = joined(list(answers))
        if self.loss.distribution(whole["prediction"][:1]) is None:
            self.adjusted = self.examples(whole)["error"].sort().values.tolist()
        return []

    def adjustment(self) -> str:
        return "" if self.adjusted is None else f"the errors of {len(self.adjusted):,} validation examples"

    def conclude(self, examples: Named) -> Plain:
        y, error = examples["targets"], examples["error"]
        variance = y.var(correction=0).item()
        metrics = {
            "median_error": error.abs().median().item(),
            "r2": 1 - examples["squared_error"].mean().item() / variance if variance else None,
        }
        if self.adjusted is not None:
            metrics |= {name: examples[name].mean().item() for name in ("crps", "coverage", "width")}
        return {"metrics": metrics, "ranks": ranked(examples["rank"]), "floors": {FLOOR: self._floor(y)}}

    def _floor(self, y: Tensor) -> Plain:
        """What the normal distribution of the training targets reaches on targets (N,), whatever the inputs."""
        mean, sd = (torch.full_like(y, value) for value in (self.spec.target_mean, self.spec.target_std))
        found = {"mae": (y - mean).abs(), "squared_error": (y - mean).square()} | judged(
            NormalDistribution(mean, sd), y
        )
        return {name: column.mean().item() for name, column in found.items() if name not in KEPT}

    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        columns = {name: column.numpy() for name, column in examples.items()}
        return value_pictures(title, result, columns, self.spec.unit)


KEPT = ("targets", "point", "error", "low", "high", "rank")  # of an example, but no metric


def judged(found: Distribution, y: Tensor) -> Named:
    """What distributions say of targets (N,), by name."""
    low, high = (found.quantile(level) for level in ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
    nll = found.nll(y)
    return {
        "crps": found.crps(y),
        **({} if nll is None else {"nll": nll}),
        "coverage": ((low <= y) & (y <= high)).double(),
        "width": high - low,
        "low": low,
        "high": high,
        "rank": found.rank(y),
    }


def ranked(rank: Tensor) -> Plain:
    """How the ranks (N,) of the targets in their distributions lie in [0, 1], evenly if all is right.

    ``count`` in equal bins; ``coverage``: the share of targets in the central interval of each of ``levels``.
    """
    count = torch.bincount((rank * BINS).long().clamp_max(BINS - 1), minlength=BINS)
    off = (rank - 0.5).abs()
    covered = [(off <= level / 2 + 1e-12).double().mean().item() for level in LEVELS]
    return {"count": count.tolist(), "levels": list(LEVELS), "coverage": covered}
