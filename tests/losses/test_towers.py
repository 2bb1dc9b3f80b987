"""What every loss of two towers must do, asked of each row of the table in tower_rows.py."""

import inspect
import math

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.functional import normalize

import src.losses
from src.losses.towers import HIGHEST_SCALE, TowerLoss
from tests.conftest import ROOT
from tests.losses.tower_rows import ROWS, Row

N, D = 7, 5
CAPTIONS = torch.tensor([3, 1, 3, 4, 9, 1, 3])  # three, two and one of each
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def given(row: Row, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Embeddings of images and captions, and the numbers that are learnt: s = 1, a bias of -0.7."""
    g = torch.Generator().manual_seed(0)
    a, b = (normalize(torch.randn(N, D, generator=g, dtype=torch.float64), dim=-1).to(dtype) for _ in range(2))
    return a, b, *(torch.tensor([value], dtype=dtype) for value in [1.0, -0.7][: len(row.scalars)])


def value(loss: TowerLoss, row: Row, a: Tensor, b: Tensor, *numbers: Tensor, **kwargs: object) -> Tensor:
    captions = kwargs.pop("captions", CAPTIONS)
    return loss(a, b, captions, **dict(zip(row.scalars, numbers, strict=True)), **kwargs)


@each
def test_value_is_the_references(row: Row) -> None:
    a, b, *numbers = given(row)
    for case in row.cases:
        got = value(row.build(**case), row, a, b, *numbers)
        plain = (a.numpy(), b.numpy(), CAPTIONS.tolist(), *(number.item() for number in numbers))
        np.testing.assert_allclose(got.numpy(), row.reference(*plain, **row.arguments(**case)), rtol=1e-12)


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
def test_gradient(row: Row) -> None:
    """Central differences, also by the scale and the bias."""
    inputs = tuple(tensor.requires_grad_() for tensor in given(row))
    for case in row.cases:
        loss = row.build(**case)
        assert torch.autograd.gradcheck(lambda *tensors, loss=loss: value(loss, row, *tensors), inputs)


@each
def test_rows_of_a_whole_batch(row: Row) -> None:
    """Any part of the pairs, compared with all of them, has the numbers that the whole has."""
    tensors = given(row)
    for case in row.cases:
        loss = row.build(**case)
        whole = value(loss, row, *tensors)
        for rows in (slice(0, None, 2), slice(1, None, 2), slice(2, 3)):
            torch.testing.assert_close(value(loss, row, *tensors, rows=rows), whole[rows], rtol=1e-12, atol=0)


@each
def test_order_of_pairs_does_not_matter(row: Row) -> None:
    a, b, *numbers = given(row)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    for case in row.cases:
        loss = row.build(**case)
        got = value(loss, row, a[order], b[order], *numbers, captions=CAPTIONS[order])
        torch.testing.assert_close(got, value(loss, row, a, b, *numbers)[order], rtol=1e-12, atol=0)


@each
def test_duplicates_are_alike_if_there_are_none(row: Row) -> None:
    a, b, *numbers = given(row)
    values = [value(row.build(**case), row, a, b, *numbers, captions=torch.arange(N)) for case in row.cases]
    assert torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])
    with_them = [value(row.build(**case), row, a, b, *numbers) for case in row.cases]
    assert not torch.allclose(with_them[0], with_them[1]) and not torch.allclose(with_them[0], with_them[2])


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
def test_half_precision_is_raised_to_float32(row: Row, dtype: torch.dtype) -> None:
    """Also within autocast, which would take the product of the embeddings in half precision."""
    half = given(row, dtype)
    for case in row.cases:
        loss = row.build(**case)
        expected = value(loss, row, *(tensor.float() for tensor in half))
        assert torch.equal(value(loss, row, *half), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(value(loss, row, *half), expected)


@each
def test_compiles_to_the_same(row: Row) -> None:
    tensors = given(row, torch.float32)
    for case in row.cases:
        torch._dynamo.reset()
        loss = row.build(**case)
        counter = CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(lambda *given, loss=loss: value(loss, row, *given), backend=counter, fullgraph=True)
        torch.testing.assert_close(compiled(*tensors), value(loss, row, *tensors))
        assert counter.frame_count == 1


BAD = [(row, name, value) for row in ROWS for name, values in row.bad.items() for value in values]


@pytest.mark.parametrize(("row", "name", "value"), BAD, ids=[f"{r.name}-{n}={v!r}" for r, n, v in BAD])
def test_bad_argument_is_refused_by_name(row: Row, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
        row.build(**{name: value})


@each
def test_every_argument_is_an_option_and_has_bad_values(row: Row) -> None:
    parameters = inspect.signature(row.cls).parameters
    assert parameters.keys() == row.kwargs.keys() == row.bad.keys()
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert not row.build().state_dict() and not list(row.build().parameters())


@each
def test_option_builds_the_row_at_its_defaults(row: Row) -> None:
    option = yaml.safe_load((ROOT / f"conf/loss/{row.name}.yaml").read_text())
    assert option.pop("defaults") == [{"/task@_global_.task": "retrieval"}, "_self_"]
    assert option.pop("_target_") == f"{row.cls.__module__}.{row.cls.__qualname__}"
    assert option == dict(row.kwargs)
    assert getattr(src.losses, row.cls.__name__) is row.cls
