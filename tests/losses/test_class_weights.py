"""Weights of the classes: their values, what they multiply, and what they do to the minimiser."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from src.losses.base import weights_of_classes
from tests.losses.digits import Digits
from tests.losses.rows import CLASSES, EXAMPLES, ROWS, Row, batch, distributions
from tests.losses.test_contract import check_compiled

WEIGHTED = [row for row in ROWS if "class_weights" in row.kwargs]
each = pytest.mark.parametrize("row", WEIGHTED, ids=lambda row: row.name)
COUNTS = [60, 25, 10, 4, 1]


def weights(class_weights: Any, beta: float | None = None, class_counts: Any = COUNTS) -> np.ndarray:
    tensor = weights_of_classes(class_weights, beta, class_counts)
    assert tensor is not None
    assert tensor.dtype == torch.float64
    return tensor.numpy()


def test_which_losses_take_weights() -> None:
    assert {row.name for row in WEIGHTED} == {"ce", "smoothed_ce", "bce", "focal", "ldam"}


@pytest.mark.parametrize("given", ["balanced", "effective_number", [1, 2, 3, 4, 5], (0.1, 0.1, 0.1, 9, 9)])
def test_mean_over_the_training_split_is_one(given: Any) -> None:
    np.testing.assert_allclose((np.array(COUNTS) * weights(given)).sum() / sum(COUNTS), 1, rtol=1e-14)


def test_values() -> None:
    np.testing.assert_allclose(weights("balanced"), 100 / (5 * np.array(COUNTS)), rtol=1e-14)
    np.testing.assert_allclose(weights("balanced", class_counts=[7, 7]), [1, 1], rtol=1e-14)
    # beta = 1/2: effective numbers 1 and 1.5, so weights 1 and 2/3, and (1 * 1 + 2 * 2/3) / 3 = 7/9 is their mean.
    np.testing.assert_allclose(weights("effective_number", 0.5, [1, 2]), [9 / 7, 6 / 7], rtol=1e-14)
    np.testing.assert_allclose(weights("effective_number", 0.0), np.ones(5), rtol=1e-14)
    np.testing.assert_allclose(weights("effective_number", 1 - 1e-9), weights("balanced"), rtol=1e-5)
    np.testing.assert_allclose(weights([1, 2, 2, 2, 2]) / weights([3, 6, 6, 6, 6]), np.ones(5), rtol=1e-14)
    assert weights_of_classes(None, None, COUNTS) is None


@pytest.mark.parametrize("beta", [0.5, 0.999, 1 - 1e-9])
def test_effective_numbers_in_fifty_digits(beta: float) -> None:
    numbers = [(1 - Digits(beta) ** n) / (1 - Digits(beta)) for n in COUNTS]
    scale = sum(COUNTS) / sum(n / number for n, number in zip(COUNTS, numbers, strict=True))
    np.testing.assert_allclose(weights("effective_number", beta), [float(scale / e) for e in numbers], rtol=1e-14)


@each
@pytest.mark.parametrize("given", ["balanced", [0.3, 1, 2, 3, 7]])
def test_float64_logits_get_float64_weights(row: Row, given: Any) -> None:
    """Weights whose float32 neighbours are 6e-8 off; what is float32 still gives float32."""
    z, y = batch()
    loss, plain = row.build(class_weights=given, class_counts=COUNTS), row.build(class_counts=COUNTS)
    w = torch.tensor(weights(given))
    torch.testing.assert_close(loss(z, y), w[y] * plain(z, y), rtol=1e-14, atol=0)
    assert loss(z.float(), y).dtype == loss(z.bfloat16(), y).dtype == torch.float32
    if row.soft:
        of_classes = torch.stack([w[k] * plain(z, torch.full_like(y, k)) for k in range(CLASSES)], -1)
        q = distributions()
        torch.testing.assert_close(loss(z, q), (q * of_classes).sum(-1), rtol=1e-13, atol=0)
        assert loss(z.bfloat16(), q.float()).dtype == torch.float32


@pytest.mark.parametrize("counts", [None, [5, 0, 3]])
def test_weights_from_counts_need_every_class(counts: Any) -> None:
    with pytest.raises(ValueError, match=r"^class_counts must be a list of integers >= [01].*, got "):
        weights("balanced", class_counts=counts)


def test_listed_weights_may_have_a_class_without_examples() -> None:
    np.testing.assert_allclose(weights([1, 1, 2], class_counts=[2, 0, 1]), [0.75, 0.75, 1.5])
    with pytest.raises(ValueError, match=r"^class_counts must be .*, got None"):
        weights([1, 1, 2], class_counts=None)


@each
def test_weight_of_the_class_multiplies_the_loss(row: Row) -> None:
    z, y = batch()
    w = torch.tensor(weights("effective_number", 0.9))
    kwargs = {"class_weights": "effective_number", "effective_number_beta": 0.9, "class_counts": COUNTS}
    torch.testing.assert_close(
        row.build(**kwargs)(z, y), w[y] * row.build(class_counts=COUNTS)(z, y), rtol=1e-14, atol=0
    )


def test_one_logit_of_two_classes() -> None:
    row = next(row for row in WEIGHTED if row.name == "bce")
    loss = row.build(2, class_weights=[1, 3], class_counts=[2, 2])  # 1/2 and 3/2
    z, y = torch.tensor([[-1.0], [0.3]]), torch.tensor([0, 1])
    torch.testing.assert_close(loss(z, y), torch.tensor([0.5, 1.5]) * row.build(2)(z, y))
    torch.testing.assert_close(loss(z, torch.eye(2)), loss(z, y))


@each
def test_weights_move_with_the_module_but_are_not_saved(row: Row) -> None:
    loss = row.build(class_weights="balanced")
    assert dict(loss.named_buffers())["class_weight"] is loss.class_weight
    assert not loss.state_dict()
    assert loss.to("meta")(torch.zeros(2, CLASSES, device="meta"), torch.zeros(2, device="meta").long()).is_meta


@each
def test_compiles_and_maps(row: Row) -> None:
    torch._dynamo.reset()
    loss = row.build(class_weights="balanced")
    for form in replace(row, kwargs={**row.kwargs, "class_weights": "balanced"}).forms():
        check_compiled(form, torch.compile(form.value, backend="aot_eager", fullgraph=True))
    z, y = batch()
    mapped = torch.func.vmap(loss)(z.reshape(3, -1, CLASSES), y.reshape(3, -1))
    torch.testing.assert_close(mapped.reshape(EXAMPLES), loss(z, y))


def test_minimiser_of_weighted_cross_entropy_is_the_weighted_population() -> None:
    """At p ~ eta w the gradient of the population's risk is 0, though p is not eta."""
    loss = next(row for row in WEIGHTED if row.name == "ce").build(class_weights="balanced", class_counts=COUNTS)
    eta = torch.tensor(COUNTS).double() / sum(COUNTS)
    z = (eta * torch.tensor(weights("balanced"))).log().requires_grad_()  # balanced at the frequencies: uniform p
    (gradient,) = torch.autograd.grad((eta * loss(z.expand(CLASSES, CLASSES), torch.arange(CLASSES))).sum(), z)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-14)
    torch.testing.assert_close(z.detach().softmax(-1), torch.full_like(z.detach(), 1 / CLASSES), rtol=1e-14, atol=0)
