"""The CRPS of points by each other's errors, against the sum over all pairs."""

import numpy as np
import pytest
import torch
from torch import Tensor

from src.metrics.distributions import ResidualDistribution
from src.metrics.errors import ErrorSums, crps_among


def errors(n: int, seed: int = 0) -> Tensor:
    return 10 * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).round(decimals=1)


@pytest.mark.parametrize("n", [3, 4, 50, 401])
def test_each_is_judged_by_the_errors_of_the_others(n: int) -> None:
    e = errors(n)
    zero = torch.zeros(1, dtype=torch.float64)
    others = [torch.cat([e[:i], e[i + 1 :]]).sort().values for i in range(n)]
    left_out = [ResidualDistribution(zero, other).crps(e[i : i + 1]).item() for i, other in enumerate(others)]
    assert crps_among(e) == pytest.approx(np.mean(left_out), rel=1e-10)


def test_few_errors_say_nothing() -> None:
    assert all(np.isnan(crps_among(errors(n))) for n in (0, 1, 2))


def measure(pairs: bool = True) -> ErrorSums:
    return ErrorSums(("mae",), lambda means: {**means}, pairs=pairs)


def columns(e: Tensor) -> dict[str, Tensor]:
    return {"mae": e.abs(), "error": e}


def test_batches_and_ranks_give_the_same_bits() -> None:
    """However errors are cut, and in whatever order they come: a rank has every second batch."""
    e = errors(200)
    whole, cut = measure(), measure()
    whole.update(columns(e))
    for part in (e[100:150], e[:100], e[150:]):
        cut.update(columns(part))
    assert cut.compute()["crps"] == whole.compute()["crps"] == crps_among(e)
    whole.reset()
    whole.update(columns(e[:70]))
    assert whole.compute()["crps"] == crps_among(e[:70])


def test_only_those_asked_for_have_pairs() -> None:
    plain = measure(pairs=False)
    plain.update(columns(errors(10)))
    assert plain.compute().keys() == {"mae"}
    assert np.isnan(measure().compute()["crps"])  # type: ignore[arg-type]


def test_a_measure_moves_with_its_module() -> None:
    found = measure()
    found.update(columns(errors(10).float()))
    assert torch.nn.ModuleList([found]).half() is not None
    found.update(columns(errors(10)))
    assert found.compute()["crps"] is not None and found.sums.dtype == torch.float64
