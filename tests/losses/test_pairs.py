"""What is known of the losses of pairs besides their values."""

import math

import pytest
import torch
from torch import Tensor

from src.losses.pairs import PairLoss
from tests.losses.pair_rows import CLASSES, ROWS, D, N, Row

each = pytest.mark.parametrize("row", ROWS, ids=str)


def build(name: str, **changes: float) -> PairLoss:
    return next(row for row in ROWS if row.name == name).build(**changes)


@each
@pytest.mark.parametrize("count", [2, 64])
def test_value_where_all_views_are_equal(row: Row, count: int) -> None:
    """ln(2N - 1) for the two softmaxes, the margin for triplet, 0 for uniformity; gradients are finite."""
    one = torch.linspace(-1, 2, D, dtype=torch.float64).expand(count, D).clone().requires_grad_()
    got = row.build()(one, one.detach(), torch.zeros(count, dtype=torch.int64))
    torch.testing.assert_close(got, torch.full_like(got, row.at_equal(count, D)), rtol=1e-12, atol=1e-12)
    got.sum().backward()
    assert one.grad is not None and one.grad.isfinite().all()


@pytest.mark.parametrize("count", [2, 7])
def test_sigmoid_at_logits_of_zero(count: int) -> None:
    """N ln 2."""
    a, b = torch.eye(2 * count, dtype=torch.float64).chunk(2)
    torch.testing.assert_close(
        build("siglip_pairs", bias=0.0)(a, b), torch.full((count,), count * math.log(2)).double()
    )


def test_uniformity_alone_is_lowest_on_a_simplex() -> None:
    """Four unit vectors in space: as far apart as can be, at 109 degrees, where |x - y|^2 = 8/3."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    loss = build("align_uniform")
    best = loss(corners, corners)
    torch.testing.assert_close(best, torch.full_like(best, -2 * 8 / 3))
    for seed in range(20):
        other = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert (loss(other, other) > best).all()


def test_supcon_of_classes_of_one_example_is_nt_xent() -> None:
    a, b, _ = ROWS[0].given(ROWS[0].build())
    torch.testing.assert_close(build("supcon", temperature=0.5)(a, b, torch.arange(N)), build("nt_xent")(a, b))


def test_supcon_wants_classes() -> None:
    a, b, _ = ROWS[0].given(ROWS[0].build())
    with pytest.raises(ValueError, match="supcon learns from classes"):
        build("supcon")(a, b)


@each
def test_ranks_have_the_numbers_of_one_process(row: Row) -> None:
    """Each asks for its rows of the whole batch."""
    given = row.given(row.build())
    for world in (2, 4):
        found = torch.empty(N, dtype=torch.float64)
        for rank in range(world):
            found[rank::world] = row.build()(*given, rows=slice(rank, None, world))
        torch.testing.assert_close(found, row.build()(*given), rtol=1e-13, atol=1e-13)


@each
@pytest.mark.parametrize("count", [0, 1])
def test_batches_of_one_example_and_none_at_all(row: Row, count: int) -> None:
    """The last batch of an evaluation may have one example, and a rank that computes along with others wants none."""
    a, b, classes = row.given(row.build())
    alone = row.build()(a[:1], b[:1], classes[:1], slice(count))
    assert alone.shape == (count,) and alone.isfinite().all()


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_finite_at_nothing_and_at_huge_embeddings(row: Row, size: float, dtype: torch.dtype) -> None:
    signs = torch.tensor([1.0, -1.0]).repeat(N // 2)[:, None].expand(N, D)
    for kwargs in row.cases:
        a = (size * signs).to(dtype).requires_grad_()
        b = (size * signs.roll(1, 0)).to(dtype).requires_grad_()
        loss = row.build(**kwargs)(a, b, CLASSES)
        loss.sum().backward()
        assert loss.isfinite().all(), kwargs
        if dtype != torch.float16:  # it ends at 65,504, which the gradient of a square of such embeddings exceeds
            assert all(view.grad is not None and view.grad.isfinite().all() for view in (a, b)), kwargs


@each
def test_autocast_keeps_out(row: Row) -> None:
    a, b, classes = (tensor.float() if tensor.is_floating_point() else tensor for tensor in row.given(row.build()))
    with torch.autocast("cpu", torch.bfloat16):
        inside = row.build()(a, b, classes)
    torch.testing.assert_close(inside, row.build()(a, b, classes), rtol=0, atol=0)


@each
def test_parts_are_named_and_sum_to_the_loss(row: Row) -> None:
    given, loss = row.given(row.build()), row.build()
    terms = loss.terms(*given)
    assert tuple(terms) == (loss.parts or ("loss",))
    torch.testing.assert_close(torch.stack([*terms.values()]).sum(0), loss(*given))


@pytest.mark.parametrize(
    ("a", "b", "classes"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), None),
        (torch.zeros(4, 3), torch.zeros(1, 3), None),
        (torch.zeros(4, 3, 1), torch.zeros(4, 3, 1), None),
        (torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(3, dtype=torch.int64)),
    ],
)
def test_views_of_unlike_shapes_are_refused(a: Tensor, b: Tensor, classes: Tensor | None) -> None:
    with pytest.raises(ValueError, match=r"two views must be of one shape \(N, D\)"):
        build("nt_xent")(a, b, classes)
