"""Every loss against its definition in 50 digits, whatever the number of classes and the size of the logits."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.losses.bce import BinaryCrossEntropyLoss
from src.losses.brier import BrierLoss
from src.losses.distillation import KnowledgeDistillationLoss
from src.losses.focal import FocalLoss
from src.losses.hinge import HingeLoss
from tests.losses.digits import exact
from tests.losses.references import divergence, softmax
from tests.losses.rows import UNWEIGHTED, Row
from tests.losses.test_classification import each

SCALES = (0.0, 0.01, 1.0, 3.0, 10.0, 100.0, 1e3, 1e4)
# |got - exact| <= rtol |exact| + atol: some units in the last place of what is summed; a loss may state its own.
TOLERANCES = {torch.float32: (2e-6, 6e-7), torch.float64: (4e-15, 2e-15)}


@functools.cache
def logits(classes: int) -> tuple[Tensor, Tensor]:
    """(N, K) float32 numbers up to 1e4, and targets: at random, the top class, the last but the top, and ties."""
    g = torch.Generator().manual_seed(classes)
    z, y = [], []
    for scale in SCALES:
        row = (scale * torch.randn(classes, generator=g, dtype=torch.float64)).clamp(-1e4, 1e4).float()
        second = row.topk(2).indices[1]
        for target in {int(torch.randint(classes, (), generator=g)), int(row.argmax()), int(second)}:
            z.append(row)
            y.append(target)
    near = torch.full((classes,), 9999.0) + torch.arange(classes) % 3 * 0.25  # large, and close to each other
    z += [near, -near, near - 9990]
    y += [0, 1, classes - 1]
    return torch.stack(z), torch.tensor(y)


def check(row: Row, z: Tensor, y: Tensor, **kwargs: Any) -> None:
    classes = z.shape[-1]
    q = torch.nn.functional.one_hot(y, classes).double().numpy()
    expected = row.reference(exact(z), q, **row.arguments(classes, **kwargs))
    for dtype, (rtol, atol) in TOLERANCES.items():
        got = row.build(classes, **kwargs)(z.to(dtype), y)
        assert got.dtype == dtype
        bound = row.magnifies(kwargs) * (rtol * abs(expected) + atol)
        shares = (abs(exact(got) - expected) / bound).astype(float)
        worst = int(shares.argmax())
        said = (
            f"{got[worst].item()!r} for {float(expected[worst])!r}, {dtype} of size {z[worst].abs().max():g}, {kwargs}"
        )
        assert shares[worst] <= 1, said


@each
@pytest.mark.parametrize("classes", [2, 10])
def test_value_in_fifty_digits(row: Row, classes: int) -> None:
    if row.build(classes).outputs(classes) == classes:
        for kwargs in [{}, *row.boundary]:
            if all(len(value) == classes for value in kwargs.values() if isinstance(value, list)):
                check(row, *logits(classes), **kwargs)


@each
def test_value_of_a_thousand_classes(row: Row) -> None:
    z, y = logits(1000)
    some = [7, 10, 21, -3, -2]  # of deviation 1, 3 and 1e4, and large ones near each other
    check(row, z[some], y[some])


def test_values_that_were_worked_out_by_hand() -> None:
    """Near the logits' size, where a sum that is taken in the wrong order keeps no digit of the small part."""
    z, y = torch.tensor([[9999.3, 10000.0, 0.0]]), torch.tensor([1])
    gap = z[0, 0].double() - z[0, 1].double()  # as these are float32 numbers
    hinge = HingeLoss(margin=2.7, multiclass="crammer_singer")(z, y)
    torch.testing.assert_close(hinge.double(), (2.7 + gap)[None], rtol=1e-7, atol=0)
    p = torch.sigmoid(-gap)
    focal = FocalLoss(gamma=2.0, **UNWEIGHTED)(z, y)
    torch.testing.assert_close(focal.double(), -((1 - p) ** 2 * p.log())[None], rtol=1e-6, atol=0)


def test_brier_score_of_a_sure_answer() -> None:
    """1 - p_y is the sum of the others, to all its digits; so is its square."""
    z = torch.tensor([[8.0, 0.5, *[-1.0] * 998]])
    p = exact(z)[0] - exact(z)[0, 0]
    p = np.exp(p) / np.exp(p).sum()
    expected = (p[1:] ** 2).sum() + p[1:].sum() ** 2
    assert BrierLoss()(z, torch.tensor([0])).item() == pytest.approx(float(expected), rel=2e-6)


@pytest.mark.parametrize("temperature", [20.0, 100.0])
def test_soft_targets_of_a_hot_teacher(temperature: float) -> None:
    """T^2 KL tends to the variance of z - t over 2: what is left of it in float32 is to seven digits."""
    g = torch.Generator().manual_seed(0)
    z, t = (3 * torch.randn(6, 10, generator=g) for _ in range(2))
    loss = KnowledgeDistillationLoss(alpha=1.0, temperature=temperature)(z, t, torch.zeros(6).long())
    softened = softmax(exact(t) / temperature)
    expected = temperature**2 * divergence(softened, exact(z) / temperature)
    np.testing.assert_allclose(loss.numpy(), expected.astype(float), rtol=5e-7)


def test_many_questions_that_are_answered_no() -> None:
    """Binary cross-entropy of 1,000 classes whose logits are near -10: each adds 5e-5, to six digits."""
    z = -10 + torch.linspace(-1, 1, 1000)[None]
    z[0, 0] = 12.0
    expected = np.log1p(np.exp(-exact(z)[0, 0])) + np.log1p(np.exp(exact(z)[0, 1:])).sum()
    loss = BinaryCrossEntropyLoss(smoothing=0.0, **UNWEIGHTED)
    for targets in (torch.tensor([0]), torch.nn.functional.one_hot(torch.tensor([0]), 1000).float()):
        assert loss(z, targets).item() == pytest.approx(float(expected), rel=1e-6)
