"""What every regression loss must do beyond the contract of all losses, asked of each row of regression_rows.py."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import norm

from src.losses.beta_nll import BetaNLLLoss
from src.losses.gaussian_nll import GaussianNLLLoss
from src.losses.quantile import QuantileLoss, weights_at
from src.losses.regression import Normal, PointLoss, RegressionLoss, Steps, step_weights
from tests.losses.regression_rows import EXAMPLES, ROWS, Row, batch

each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_normal = pytest.mark.parametrize("row", [row for row in ROWS if row.outputs == 2], ids=lambda row: row.name)


@each
def test_number_of_outputs(row: Row) -> None:
    assert row.build().outputs() == row.build().outputs(10) == row.outputs


@each
def test_closed_forms(row: Row) -> None:
    for kwargs, outputs, target, value in row.closed:
        got = row.build(**kwargs)(torch.tensor([outputs], dtype=torch.float64), torch.tensor([target]).double())
        np.testing.assert_allclose(got.item(), value, rtol=1e-12, atol=1e-14, err_msg=str((kwargs, outputs, target)))


IDENTITIES = [(row, name, *case) for row in ROWS for name, case in row.identities.items()]


@pytest.mark.parametrize(
    ("row", "kwargs", "factor", "offset", "other"),
    [(row, *case) for row, _, *case in IDENTITIES],
    ids=[f"{row.name}: {name}" for row, name, *_ in IDENTITIES],
)
def test_identity(row: Row, kwargs: dict[str, object], factor: float, offset: float, other: RegressionLoss) -> None:
    loss = row.build(**kwargs)
    p, y = batch(loss)
    torch.testing.assert_close(loss(p, y), factor * other(p, y) + offset, rtol=1e-12, atol=0)


def test_torchs_own_losses_agree() -> None:
    f = torch.nn.functional
    for row, theirs in (
        ("mse", f.mse_loss),
        ("mae", f.l1_loss),
        ("huber", lambda p, y, reduction: f.huber_loss(p, y, reduction=reduction, delta=1.0)),
        ("gaussian_nll", None),
    ):
        loss = next(r for r in ROWS if r.name == row).build()
        p, y = batch(loss)
        if theirs is None:
            expected = f.gaussian_nll_loss(p[:, 0], y, p[:, 1].exp(), full=True, reduction="none")
        else:
            expected = theirs(p[:, 0], y, reduction="none")
        torch.testing.assert_close(loss(p, y), expected, rtol=1e-12, atol=1e-14)


def test_gradient_of_beta_nll() -> None:
    """That of the likelihood times sigma^(2 beta); with beta = 1 the mean's is that of half the square."""
    for beta in (0, 0.3, 1):
        loss = BetaNLLLoss(beta=beta)
        p, y = batch(loss)
        own, plain = p.clone().requires_grad_(), p.clone().requires_grad_()
        loss(own, y).sum().backward()
        GaussianNLLLoss()(plain, y).sum().backward()
        assert own.grad is not None and plain.grad is not None
        torch.testing.assert_close(own.grad, p[:, 1:].exp() ** beta * plain.grad, rtol=1e-12, atol=1e-12)
        if beta == 1:
            torch.testing.assert_close(own.grad[:, 0], p[:, 0] - y, rtol=1e-12, atol=1e-12)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_far_from_the_target(row: Row, dtype: torch.dtype) -> None:
    """Errors of 10,000 standard deviations; a wrong mean beside a small variance has a huge nll, but a finite one."""
    for kwargs in [{}, *row.boundary]:
        loss = row.build(**kwargs)
        for far, log_variance in ((1e4, 0.0), (-1e4, -40.0), (0.0, 60.0), (1e4, 60.0)):
            p = torch.full((3, loss.outputs()), far, dtype=dtype)
            if row.outputs == 2:
                p[:, 1] = log_variance
            p.requires_grad_()
            value = loss(p, torch.tensor([0.0, 1.0, -3.0]).to(dtype))
            value.sum().backward()
            assert value.dtype == torch.float32
            assert value.isfinite().all() and p.grad is not None, (kwargs, value)
            if dtype != torch.float16:  # which has no numbers beyond 65,504
                assert p.grad.isfinite().all(), (kwargs, p.grad)


@each
def test_derivatives_are_finite_at_the_target(row: Row) -> None:
    loss = row.build()
    p = torch.zeros(1, loss.outputs(), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(p, torch.zeros(1)).sum(), p, create_graph=True)
    assert slope.isfinite().all()
    if slope.requires_grad:
        (curvature,) = torch.autograd.grad(slope.sum(), p)
        assert curvature.isfinite().all()


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_points_of_half_precision_are_float32(row: Row, dtype: torch.dtype) -> None:
    loss = row.build()
    p, _ = batch(loss, dtype)
    torch.testing.assert_close(loss.point(p), loss.point(p.float()), rtol=0, atol=0)


@each
def test_targets_take_the_precision_of_the_prediction(row: Row) -> None:
    loss = row.build()
    p, y = batch(loss)
    assert loss(p.float(), y).dtype == torch.float32 and loss(p, y.float()).dtype == torch.float64


@each
def test_shapes_that_would_be_broadcast_are_refused(row: Row) -> None:
    loss = row.build()
    p, y = batch(loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of some of these, and gives (N, N)
        for prediction, target in ((p, y[:, None]), (p[:, 0], y), (p[:, 0], y[:, None]), (p[:1], y), (p, y[:1])):
            with pytest.raises(ValueError, match=r"^a prediction must have the shape of its targets and"):
                loss(prediction, target)
        with pytest.raises(ValueError, match=f"and {row.outputs} numbers for each, got"):
            loss(torch.cat([p, p], 1), y)


@each
def test_population_minimiser(row: Row) -> None:
    """Over targets of one input, skewed so that mean and median differ: where the gradient of the mean loss is 0, or,
    at a kink, changes its sign."""
    g = torch.Generator().manual_seed(5)
    y = torch.randn(401, generator=g, dtype=torch.float64).exp()
    loss = row.build()
    best = torch.tensor(row.minimiser(y.numpy()), dtype=torch.float64)
    for k in range(loss.outputs()):
        slopes = []
        for step in (-1e-6, 1e-6):
            p = best.clone()
            p[k] += step
            p.requires_grad_()
            (gradient,) = torch.autograd.grad(loss(p.expand(len(y), -1), y).mean(), p)
            slopes.append(gradient[k].item())
        assert slopes[0] < 0 < slopes[1], (k, slopes)
    expected = {"quantile": y.median()}.get(row.name, best[0])
    torch.testing.assert_close(loss.point(best[None])[0], expected, rtol=1e-9, atol=1e-9)


@each
def test_link(row: Row) -> None:
    loss = row.build()
    p, _ = batch(loss, torch.bfloat16)
    found = loss.distribution(p)
    assert loss.point(p).shape == (EXAMPLES,) and loss.point(p).dtype == torch.float32
    if isinstance(loss, PointLoss):
        assert found is None
    elif isinstance(found, Normal):
        torch.testing.assert_close(found.mean, p[:, 0].float())
        torch.testing.assert_close(found.log_variance, p[:, 1].float())
    else:
        assert isinstance(found, Steps)
        assert (found.values.diff(dim=-1) >= 0).all() and found.weights.sum() == pytest.approx(1)


@each_normal
def test_nll_is_of_a_density(row: Row) -> None:
    """The likelihood that the loss minimises, over all targets, has the integral 1."""
    loss = GaussianNLLLoss() if row.name == "beta_nll" else row.build()
    y = torch.linspace(-30, 30, 20001, dtype=torch.float64)
    for log_variance in (-3.0, 0.0, 2.5):
        p = torch.tensor([[0.7, log_variance]], dtype=torch.float64).expand(len(y), 2)
        assert torch.trapezoid((-loss(p, y)).exp(), y).item() == pytest.approx(1, abs=1e-9)


def test_crossing_quantiles_are_sorted_and_cost_no_less() -> None:
    loss = QuantileLoss(taus=[0.1, 0.5, 0.9])
    p = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64)
    assert loss.distribution(p).values.tolist() == [[0.0, 1.0, 2.0]] and loss.point(p).item() == 1.0
    y = torch.linspace(-3, 5, 100, dtype=torch.float64)
    assert (loss(p.sort().values.expand(100, 3), y) <= loss(p.expand(100, 3), y) + 1e-15).all()


@pytest.mark.parametrize(
    ("taus", "weights"),
    [
        ([0.5], [1.0]),
        ([0.05, 0.5, 0.95], [0.0, 1.0, 0.0]),
        ([0.4, 0.8], [0.75, 0.25]),
        ([0.6, 0.8], [1.0, 0.0]),
        ([0.1, 0.2], [0.0, 1.0]),
    ],
)
def test_the_median_lies_between_its_neighbours(taus: list[float], weights: list[float]) -> None:
    np.testing.assert_allclose(weights_at(0.5, taus), weights, atol=1e-15)


def test_twice_the_quantile_loss_is_the_crps_of_its_distribution() -> None:
    """At levels (k - 1/2) / K, against the double sum of the definition E|X - y| - E|X - X'| / 2."""
    levels = [(k - 0.5) / 7 for k in range(1, 8)]
    loss = QuantileLoss(taus=levels)
    p, y = batch(loss)
    found = loss.distribution(p)
    np.testing.assert_allclose(found.weights.numpy(), 1 / 7, rtol=1e-12)
    x = found.values.numpy()
    crps = np.abs(x - y.numpy()[:, None]).mean(1) - np.abs(x[:, :, None] - x[:, None, :]).mean((1, 2)) / 2
    np.testing.assert_allclose(2 * loss(p.sort().values, y).numpy(), crps, rtol=1e-10)


def test_weights_of_unequal_levels() -> None:
    np.testing.assert_allclose(step_weights(torch.tensor([0.05, 0.5, 0.95])).numpy(), [0.275, 0.45, 0.275], rtol=1e-6)


def test_figures_worked_out_by_hand() -> None:
    """The oracles themselves."""
    by_name = {row.name: row for row in ROWS}
    assert by_name["gaussian_nll"].reference(np.array([[0.0, 0.0]]), np.zeros(1)) == pytest.approx(0.918938533204673)
    assert -norm.logpdf(2.0, 0, 2) == pytest.approx(0.5 + math.log(2) + 0.918938533204673)
    assert by_name["quantile"].reference(np.array([[1.0]]), np.array([3.0]), taus=[0.9]) == pytest.approx(1.8)
    assert by_name["huber"].reference(np.array([[1.0]]), np.array([4.0]), delta=1.0) == pytest.approx(2.5)
