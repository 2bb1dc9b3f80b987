"""The task of regression: every loss judged alike, in the target's unit."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from src.data.base import Batch, Chance, Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.gaussian_nll import GaussianNLLLoss
from src.losses.mae import AbsoluteErrorLoss
from src.losses.mse import SquaredErrorLoss
from src.losses.quantile import QuantileLoss
from src.losses.regression import RegressionLoss
from src.tasks.regression import LEVELS, RegressionTask, ranked
from tests.losses.regression_rows import ROWS

MEAN, STD = 5.0, 30.0
SPEC = Spec("table", (3,), (), (100,), targets="value", target_mean=MEAN, target_std=STD, unit="degrees")


class Echo(nn.Module):
    """Gives its inputs as predictions, so that a test says what is predicted."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def task(loss: RegressionLoss, spec: Spec = SPEC) -> RegressionTask:
    return RegressionTask(model=Echo(), loss=loss, spec=spec)


def batch(loss: RegressionLoss, n: int = 50, seed: int = 0) -> Batch:
    """Predictions and targets in standard deviations."""
    g = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(n, loss.outputs(), generator=g), torch.randn(n, generator=g), Chance("test", 0, size=n))


def outcome(loss: RegressionLoss) -> tuple[RegressionTask, dict[str, Tensor], dict[str, Any]]:
    """A task that has seen a validation split and is tested: its examples and its conclusion."""
    found = task(loss)
    found.adjust(iter([found.predict_step(batch(loss, 40, seed), 0) for seed in (7, 8)]))
    examples = found.examples(found.test_step(batch(loss), 0))
    return found, examples, found.conclude(examples)


def test_metrics_are_in_the_unit_of_the_target() -> None:
    loss = GaussianNLLLoss()
    found, examples, concluded = outcome(loss)
    given = batch(loss)
    p, y = given.inputs.double().numpy(), given.targets.double().numpy() * STD + MEAN
    mean, sd = p[:, 0] * STD + MEAN, np.exp(p[:, 1] / 2) * STD
    metrics = found.test_scores.compute() | concluded["metrics"]
    assert metrics["mae"] == pytest.approx(np.abs(y - mean).mean())
    assert metrics["rmse"] == pytest.approx(np.sqrt(((y - mean) ** 2).mean()))
    assert metrics["nll"] == pytest.approx(-norm.logpdf(y, mean, sd).mean())
    assert metrics["median_error"] == pytest.approx(np.sort(np.abs(y - mean))[24])
    assert metrics["r2"] == pytest.approx(1 - ((y - mean) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    low, high = norm.ppf(0.05, mean, sd), norm.ppf(0.95, mean, sd)
    assert metrics["coverage"] == pytest.approx(((low <= y) & (y <= high)).mean())
    assert metrics["width"] == pytest.approx((high - low).mean())
    assert metrics["loss"] == pytest.approx(metrics["nll"] - math.log(STD), abs=1e-6)
    np.testing.assert_allclose(examples["rank"].numpy(), norm.cdf(y, mean, sd), atol=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_loss_is_judged_by_a_distribution(row: Any) -> None:
    found, examples, concluded = outcome(row.build())
    metrics = found.test_scores.compute() | concluded["metrics"]
    point = row.outputs == 1
    expected = {"crps", "coverage", "width", "mae", "squared_error", "rmse", "median_error", "r2", "loss"}
    assert metrics.keys() == expected | ({"nll"} if row.outputs == 2 else set())
    assert (found.adjusted is not None) == point
    for name in ("crps", "coverage", "width", "mae"):  # the mean of a column is the metric
        assert examples[name].dtype == torch.float64 and examples[name].shape == (50,)
        assert metrics[name] == pytest.approx(examples[name].mean().item(), rel=1e-12)
    assert {column.name for column in found.family.columns} >= metrics.keys() - {"loss"}
    assert all(examples[name].isfinite().all() for name in examples)
    json.dumps(concluded | {"adjusted": found.adjusted}, allow_nan=False)


def test_the_floor_is_the_normal_distribution_of_the_training_targets() -> None:
    _, examples, concluded = outcome(SquaredErrorLoss())
    y, (name, floor) = examples["targets"].numpy(), next(iter(concluded["floors"].items()))
    assert name == "training mean" and floor.keys() == {"crps", "nll", "mae", "squared_error", "coverage", "width"}
    assert floor["nll"] == pytest.approx(-norm.logpdf(y, MEAN, STD).mean())
    assert floor["mae"] == pytest.approx(np.abs(y - MEAN).mean())
    assert floor["width"] == pytest.approx(2 * norm.ppf(0.95) * STD)


def test_a_point_gets_the_errors_of_validation() -> None:
    loss = SquaredErrorLoss()
    found, examples, _ = outcome(loss)
    val = [batch(loss, 40, seed) for seed in (7, 8)]
    errors = np.sort(np.concatenate([(b.targets - b.inputs[:, 0]).double().numpy() * STD for b in val]))
    np.testing.assert_allclose(found.adjusted, errors, atol=1e-5)
    atoms = examples["point"].numpy()[:, None] + errors
    y = examples["targets"].numpy()
    crps = np.abs(atoms - y[:, None]).mean(1) - np.abs(errors[:, None] - errors).mean() / 2
    np.testing.assert_allclose(examples["crps"].numpy(), crps, rtol=1e-5)
    np.testing.assert_allclose((examples["high"] - examples["low"]).numpy(), errors[75] - errors[3], rtol=1e-5)


def test_without_validation_a_point_has_no_distribution() -> None:
    loss = AbsoluteErrorLoss()
    found = task(loss)
    assert "crps" not in found.examples(found.predict_step(batch(loss), 0))


def test_validation_measures_a_crps_for_every_loss() -> None:
    """It chooses learning rates. In training, a point has none."""
    for loss in (SquaredErrorLoss(), GaussianNLLLoss(), QuantileLoss(taus=[0.1, 0.5, 0.9])):
        found = task(loss)
        found.validation_step(batch(loss), 0)
        found.tally([found.batch_loss(found.prepare(batch(loss)))[1]])
        assert found.val_scores.compute()["crps"] is not None
        assert ("crps" in found.train_scores.compute()) == (loss.outputs() > 1)
        assert found.family.choice(found.val_scores.compute())[0].name == "crps"  # type: ignore[index]


def test_training_minimises_the_loss_of_the_batch() -> None:
    loss = SquaredErrorLoss()
    given = batch(loss)
    value, (terms, answer) = task(loss).batch_loss({"inputs": given.inputs, "targets": given.targets})
    torch.testing.assert_close(value, (given.inputs[:, 0] - given.targets).square().mean())
    assert terms["loss"].shape == (50,) and not answer["prediction"].requires_grad


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="CrossEntropyLoss is no RegressionLoss"):
        RegressionTask(model=Echo(), loss=CrossEntropyLoss(), spec=SPEC)
    with pytest.raises(ValueError, match="targets of the data are of the kind class, not value"):
        task(SquaredErrorLoss(), Spec("image", (1, 2, 2), ("a", "b"), (1, 1)))


def test_ranks_are_counted_and_covered() -> None:
    rank = torch.tensor([0.0, 0.05, 0.1, 0.55, 0.95, 1.0], dtype=torch.float64)
    found = ranked(rank)
    assert found["count"] == [2, 1, 0, 0, 0, 1, 0, 0, 0, 2] and found["levels"] == list(LEVELS)
    expected = [np.mean([abs(r - 0.5) <= level / 2 + 1e-12 for r in rank.tolist()]) for level in LEVELS]
    assert found["coverage"] == pytest.approx(expected)


def test_targets_that_are_all_equal_have_no_r2() -> None:
    loss = SquaredErrorLoss()
    found = task(loss)
    found.adjust(iter([found.predict_step(batch(loss), 0)]))
    same = batch(loss)._replace(targets=torch.ones(50))
    assert found.conclude(found.examples(found.predict_step(same, 0)))["metrics"]["r2"] is None


def test_pictures_are_drawn_for_every_kind_of_link() -> None:
    for loss in (SquaredErrorLoss(), GaussianNLLLoss(), QuantileLoss(taus=[0.1, 0.5, 0.9])):
        found, examples, concluded = outcome(loss)
        metrics = found.test_scores.compute() | concluded["metrics"]
        result = {"metrics": {"test": metrics}, "ranks": concluded["ranks"]}
        names = [name for name, _ in found.pictures("one\ntwo", result, examples, None)]  # type: ignore[arg-type]
        assert names == ["predicted_against_true", "error_by_target", "ranks", "interval_coverage"]
