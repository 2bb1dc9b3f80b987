"""What every loss of two towers must do beyond the contract of all losses, asked of each row of tower_rows.py."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from src.losses.towers import HIGHEST_SCALE, TowerLoss
from tests.losses.contract import to
from tests.losses.tower_rows import CAPTIONS, ROWS, D, N, Row

each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def value(loss: TowerLoss, row: Row, a: Tensor, b: Tensor, *numbers: Tensor, **kwargs: object) -> Tensor:
    return row.value(loss, a, b, kwargs.pop("captions", CAPTIONS), *numbers, **kwargs)


def drawn(row: Row, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Embeddings and numbers of the contract's pairs."""
    a, b, _, *numbers = to(row.given(row.build()), dtype)
    return a, b, *numbers


@each
@pytest.mark.parametrize("n", [2, 128, 999])
def test_value_where_nothing_is_similar(row: Row, n: int) -> None:
    """ln N, and N ln 2: of embeddings at right angles, and a bias of 0. All captions differ."""
    a, b = torch.tensor([[1.0, 0.0]]).double().repeat(n, 1), torch.tensor([[0.0, 1.0]]).double().repeat(n, 1)
    zero = torch.zeros(1, dtype=torch.float64)
    for case in row.cases:
        got = value(row.build(**case), row, a, b, *[zero] * len(row.scalars), captions=torch.arange(n))
        np.testing.assert_allclose(got.numpy(), row.at_zero(n), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 100.0])
def test_clip_of_equal_embeddings_is_ln_n_whatever_the_scale(scale: float) -> None:
    (row,) = (row for row in ROWS if row.name == "clip")
    same = normalize(torch.ones(N, D, dtype=torch.float64), dim=-1)
    s = torch.tensor([math.log(scale)], dtype=torch.float64)
    for duplicates in ("negatives", "soft"):
        got = value(row.build(duplicates=duplicates), row, same, same, s)
        np.testing.assert_allclose(got.numpy(), math.log(N), rtol=1e-12)
    left = torch.tensor([N - (caption == CAPTIONS).sum().item() + 1 for caption in CAPTIONS]).double()
    torch.testing.assert_close(value(row.build(duplicates="masked"), row, same, same, s), left.log())


def test_siglip_starts_where_a_pair_has_the_probability_of_chance() -> None:
    """1/N each at similarity 0: ln N + (N - 1) ln(N / (N - 1)), which is ln N + 1 for large N: no N too many."""
    (row,) = (row for row in ROWS if row.name == "siglip")
    for n in (2, 128, 4096):
        a, b = torch.tensor([[1.0, 0.0]]).double().repeat(n, 1), torch.tensor([[0.0, 1.0]]).double().repeat(n, 1)
        loss = row.build()
        numbers = [torch.tensor([one.start], dtype=torch.float64) for one in loss.scalars(n).values()]
        got = value(loss, row, a, b, *numbers, captions=torch.arange(n))
        np.testing.assert_allclose(got.numpy(), math.log(n) + (n - 1) * math.log(n / (n - 1)), rtol=1e-10)


@each
def test_numbers_start_where_the_paper_says(row: Row) -> None:
    for n in (2, 128):
        found = row.build().scalars(n)
        assert {name: one.start for name, one in found.items()} == {name: f(n) for name, f in row.scalars.items()}
        assert all(one.learnt for one in found.values())
    fixed = row.build(fixed_scale=20).scalars(128)["log_scale"]
    assert fixed == (math.log(20), False)
    assert row.build(fixed_scale=HIGHEST_SCALE).scalars(1)["log_scale"].start == math.log(100)


@each
def test_rows_of_a_whole_batch(row: Row) -> None:
    """Any part of the pairs, compared with all of them, has the numbers that the whole has."""
    tensors = drawn(row)
    for case in row.cases:
        loss = row.build(**case)
        whole = value(loss, row, *tensors)
        for rows in (slice(0, None, 2), slice(1, None, 2), slice(2, 3)):
            torch.testing.assert_close(value(loss, row, *tensors, rows=rows), whole[rows], rtol=1e-12, atol=0)


@each
def test_duplicates_are_alike_if_there_are_none(row: Row) -> None:
    a, b, *numbers = drawn(row)
    values = [value(row.build(**case), row, a, b, *numbers, captions=torch.arange(N)) for case in row.cases]
    assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])
    with_them = [value(row.build(**case), row, a, b, *numbers) for case in row.cases]
    assert not torch.allclose(with_them[0], with_them[1]) and not torch.allclose(with_them[0], with_them[2])


def test_for_clip_soft_is_negatives_if_equal_captions_have_equal_embeddings() -> None:
    """The mean over the batch, and so every gradient: what one of several images of a caption loses, another gains.

    Any text tower without chance gives them equal embeddings. A yes-or-no question for SigLIP stays another one.
    """
    for row, same in zip(ROWS, (True, False), strict=True):
        a, b, *numbers = drawn(row)
        first = torch.tensor([CAPTIONS.tolist().index(caption) for caption in CAPTIONS])
        found = []
        for case in ("negatives", "soft", "masked"):
            inputs = [tensor.clone().requires_grad_() for tensor in (a, b, *numbers)]
            mean = value(row.build(duplicates=case), row, inputs[0], inputs[1][first], *inputs[2:]).mean()
            found.append([mean, *torch.autograd.grad(mean, inputs)])
        alike = [all(torch.allclose(x, y, rtol=1e-10) for x, y in zip(found[0], one, strict=True)) for one in found]
        assert alike == [True, same, False]


def test_negatives_cannot_reach_zero_and_the_others_can() -> None:
    """Equal captions with equal embeddings, otherwise at right angles: ln of how many share a caption is left."""
    clip, siglip = ROWS
    a = torch.eye(10, dtype=torch.float64)[CAPTIONS]
    hundred = torch.tensor([math.log(100)], dtype=torch.float64)
    shared = torch.tensor([(caption == CAPTIONS).sum().item() for caption in CAPTIONS]).double()
    for duplicates, least in (("negatives", shared.log()), ("soft", shared.log()), ("masked", 0 * shared)):
        got = value(clip.build(duplicates=duplicates), clip, a, a, hundred)
        torch.testing.assert_close(got, least, rtol=0, atol=1e-12)
    half = torch.tensor([-50.0], dtype=torch.float64)
    for duplicates, least in (("negatives", 50 * (shared - 1)), ("soft", 0 * shared), ("masked", 0 * shared)):
        got = value(siglip.build(duplicates=duplicates), siglip, a, a, hundred, half)
        torch.testing.assert_close(got, least, rtol=0, atol=1e-12)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_the_highest_scale(row: Row, dtype: torch.dtype) -> None:
    for case in row.cases:
        for sign in (1, -1):
            a = normalize(torch.ones(N, D), dim=-1).to(dtype).requires_grad_()
            numbers = [torch.tensor([math.log(100)]), torch.tensor([-10.0])][: len(row.scalars)]
            loss = value(row.build(**case), row, a, sign * a.detach(), *numbers)
            loss.sum().backward()
            assert loss.dtype == torch.float32 and loss.isfinite().all()
            assert a.grad is not None and a.grad.isfinite().all()


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_lower_the_precision(row: Row, dtype: torch.dtype) -> None:
    """It would take the product of the embeddings in half precision."""
    half = drawn(row, dtype)
    for case in row.cases:
        loss = row.build(**case)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(value(loss, row, *half), value(loss, row, *(tensor.float() for tensor in half)))
