"""What every loss of classification must do beyond the contract of all losses, asked of each row of rows.py."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from src.losses.base import ClassificationLoss
from tests.losses.references import binary_cross_entropy, cross_entropy, softmax
from tests.losses.rows import CLASSES, EXAMPLES, ROWS, Row, batch, distributions, one_hot

ETA = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_soft = pytest.mark.parametrize("row", [row for row in ROWS if row.soft], ids=lambda row: row.name)


@each_soft
def test_one_hot_distribution_equals_class(row: Row) -> None:
    z, y = batch()
    for kwargs in [{}, *row.boundary]:
        loss = row.build(**kwargs)
        torch.testing.assert_close(loss(z, one_hot(y)), loss(z, y), rtol=1e-12, atol=1e-12)


@each
def test_only_the_soft_take_distributions(row: Row) -> None:
    assert row.soft == row.cls.soft_targets
    if not row.soft:
        with pytest.raises((RuntimeError, IndexError)):
            row.build()(batch()[0], distributions())


@each
@pytest.mark.parametrize("classes", [2, 3, 10, 65])
def test_value_at_zero_logits(row: Row, classes: int) -> None:
    loss = row.build(classes)
    targets = torch.arange(4) % classes
    got = loss(torch.zeros(4, loss.outputs(classes), dtype=torch.float64), targets)
    np.testing.assert_allclose(got.numpy(), np.broadcast_to(row.at_zero(classes), classes)[targets], rtol=1e-12)


IDENTITIES = [(row, name, *case) for row in ROWS for name, case in row.identities.items()]


@pytest.mark.parametrize(
    ("row", "kwargs", "other"),
    [(row, kwargs, other) for row, _, kwargs, other in IDENTITIES],
    ids=[f"{row.name}: {name}" for row, name, _, _ in IDENTITIES],
)
def test_identity(row: Row, kwargs: dict[str, object], other: ClassificationLoss) -> None:
    z, y = batch()
    torch.testing.assert_close(row.build(**kwargs)(z, y), other(z, y), rtol=1e-12, atol=1e-13)
    if row.soft and other.soft_targets:
        q = distributions()
        torch.testing.assert_close(row.build(**kwargs)(z, q), other(z, q), rtol=1e-12, atol=1e-13)


EDGES = torch.tensor(
    [
        *([0.0] * 5, [3.7] * 5, [-1e4] * 5),  # all equal
        *([2.0, 2.0, 0.0, -1.0, -1.0], [-1.0, -1.0, 0.0, 2.0, 2.0]),  # ties with the target, above and below
        *([1e4, -1e4, -1e4, -1e4, 1e4], [-1e4, 1e4, 0.0, 0.0, 0.0], [1e4, 0.0, 0.0, 0.0, 0.0]),
        *(
            [30.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 800.0, 0.0, 0.0, 0.0],
        ),  # p rounds to 1 in float32; in float64, on the other
    ],
    dtype=torch.float64,
)


@each
@pytest.mark.parametrize("targets", [0, 4, "soft"])
def test_derivatives_are_finite_at_the_edges(row: Row, targets: int | str) -> None:
    """The gradient and the Hessian of an example, at ties, at extremes, and where all logits are equal."""
    if targets == "soft" and not row.soft:
        return
    y = torch.tensor(ETA)[None] if targets == "soft" else torch.tensor([targets])
    for kwargs in [{}, *row.boundary]:
        loss = row.build(**kwargs)
        for z in EDGES:
            logits = z[None].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(logits, y).sum(), logits, create_graph=True)
            rows = [torch.autograd.grad(slope, logits, retain_graph=True)[0][0] for slope in gradient[0]]
            hessian = torch.stack(rows)
            assert gradient.isfinite().all(), (kwargs, z, gradient)
            assert hessian.isfinite().all(), (kwargs, z, hessian)
            torch.testing.assert_close(hessian, hessian.T)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_huge_logits(row: Row, dtype: torch.dtype) -> None:
    for kwargs in [{}, *row.boundary]:
        for sign in (1, -1):
            z = torch.full((3, CLASSES), -1e4 * sign, dtype=dtype)
            z[:, 0] = 1e4 * sign
            z.requires_grad_()
            loss = row.build(**kwargs)(z, torch.tensor([0, 1, 4]))
            loss.sum().backward()
            assert loss.dtype == torch.float32
            assert loss.isfinite().all() and z.grad is not None and z.grad.isfinite().all(), (kwargs, loss, z.grad)


@each
def test_shift_of_all_logits(row: Row) -> None:
    z, y = batch()
    unchanged = torch.allclose(row.build()(z + 3.7, y), row.build()(z, y), rtol=1e-10, atol=1e-12)
    assert unchanged == row.shift_invariant


@each
def test_link_gives_probabilities(row: Row) -> None:
    log_p = row.build().log_probs(batch(dtype=torch.bfloat16)[0])
    if log_p is not None:
        assert log_p.shape == (EXAMPLES, CLASSES) and log_p.dtype == torch.float32
        torch.testing.assert_close(log_p.exp().sum(-1), torch.ones(EXAMPLES))
        assert row.build(3).log_probs(torch.tensor([[1e4, -1e4, 0.0]])).isfinite().all()  # type: ignore[union-attr]


@each
def test_population_minimiser(row: Row) -> None:
    """Minimise the mean loss over examples of one input, eta_k of them of class k: the link must read off what the
    row says. The batch is that whole population, so a statistic of the batch is the population's."""
    loss = row.build()
    population = torch.arange(CLASSES).repeat_interleave(torch.tensor(100 * ETA).round().long())

    def risk(z: np.ndarray) -> tuple[float, np.ndarray]:
        logits = torch.tensor(z, requires_grad=True)
        value = loss(logits.expand(len(population), CLASSES), population).mean()
        (gradient,) = torch.autograd.grad(value, logits)
        return value.item(), gradient.numpy()

    # Some losses are not convex: the best of several starts (not 0, where logit_norm has no direction).
    starts = [np.linspace(1, -1, CLASSES) + level for level in (0, 3)]
    options = {"ftol": 1e-15, "gtol": 1e-10}
    found = [minimize(risk, start, jac=True, method="L-BFGS-B", options=options) for start in starts]
    best = min(found, key=lambda result: result.fun)
    log_p = loss.log_probs(torch.tensor(best.x)[None])
    if log_p is None:
        assert not row.recovers and row.minimiser is None
        return
    p = log_p[0].exp().numpy()
    assert (np.abs(p - ETA).max() < 1e-4) == row.recovers, p
    if row.minimiser is not None:
        np.testing.assert_allclose(p, row.minimiser(ETA), atol=1e-5)


def test_references_of_the_textbook() -> None:
    """The oracles themselves, against figures worked out by hand."""
    z = np.array([[2.0, 1.0, 0.1]])
    np.testing.assert_allclose(cross_entropy(z, np.array([[1.0, 0, 0]])), 0.4170, atol=5e-5)
    np.testing.assert_allclose(softmax(z).sum(), 1.0)
    for p, value in ((0.9, 0.105), (0.01, 4.605)):
        np.testing.assert_allclose(binary_cross_entropy(np.log(p / (1 - p)), np.ones(())), value, atol=5e-4)
    for t, q, value in (([1, 0, 1], [0.99, 0.01, 0.99], 0.01005), ([1, 0, 1], [0.1, 0.9, 0.2], 2.0715)):
        logits = np.log(np.array(q)) - np.log1p(-np.array(q))
        np.testing.assert_allclose(binary_cross_entropy(logits, np.array(t)).mean(), value, atol=5e-5)
