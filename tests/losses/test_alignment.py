"""CTC and its rivals: closed forms, all alignments counted one by one, lines that do not fit, and exact edges."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from src.losses.alignment import AlignmentLoss, ctc
from src.losses.ce_aligned import AlignedCrossEntropyLoss
from src.losses.ctc import CTCLoss
from src.losses.focal_ctc import FocalCTCLoss
from tests.losses.alignment_rows import PATHS, ROWS, SEQUENCES, Row, log_softmax, recursion

each = pytest.mark.parametrize("row", ROWS, ids=str)
SUMMED = [row for row in ROWS if row.name != "ce_aligned"]
each_summed = pytest.mark.parametrize("row", SUMMED, ids=str)


def logits(*shape: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(k - 1 for k, _ in itertools.groupby(path) if k != 0)


def test_all_alignments_one_by_one() -> None:
    """Five frames and three outputs: 243 paths, summed by what they spell, for every sequence that can be spelt."""
    z = logits(1, 5, 3)
    log_p = log_softmax(z.numpy())[0]
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=5):
        p = math.exp(sum(log_p[t, k] for t, k in enumerate(path)))
        found[collapsed(path)] = found.get(collapsed(path), 0) + p
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    for sequence, p in found.items():
        targets = torch.tensor([[*sequence, *[-1] * (5 - len(sequence))]])
        assert CTCLoss(reduction="line")(z, targets).item() == pytest.approx(-math.log(p), abs=1e-12)


def test_recursion_in_float64() -> None:
    """Of long lines, with and without repeats, at extreme logits."""
    for scale in (0.1, 3.0, 100.0):
        z = logits(6, 48, 11, scale=scale)
        targets = torch.randint(10, (6, 8), generator=torch.Generator().manual_seed(0))
        targets[0, 4:], targets[1, :4] = -1, 7
        got = CTCLoss(reduction="line")(z, targets).numpy()
        log_p = log_softmax(z.numpy())
        expected = [recursion(log_p[n], [k for k in targets[n].tolist() if k >= 0]) for n in range(6)]
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@each
@pytest.mark.parametrize("sequence", [[], [3], [3, 3, 3], [0, 1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 2, 9, 8, 7, 6]])
def test_value_of_uniform_frames(row: Row, sequence: list[int]) -> None:
    """T ln(K + 1) - ln C(T + U - r, 2 U), whatever the logits are, if they are all equal."""
    targets = torch.tensor([[*sequence, *[-1] * (8 - len(sequence))]])
    repeats = sum(a == b for a, b in itertools.pairwise(sequence))
    z, path = torch.full((1, 48, 11), 3.7, dtype=torch.float64), torch.zeros(1, 48, dtype=torch.long)
    expected = row.uniform(48, 10, len(sequence), repeats)
    assert row.build()(z, targets, path).item() == pytest.approx(expected, rel=1e-12)


def test_reductions() -> None:
    """The mean over lines of "length" is torch's mean, and that of "line" is NeMo's and ESPnet's."""
    z = logits(6, 9, 5)
    line, length = (CTCLoss(reduction=name)(z, SEQUENCES) for name in ("line", "length"))
    lengths = (SEQUENCES >= 0).sum(1)
    log_p = z.log_softmax(-1).transpose(0, 1)
    given = (log_p, SEQUENCES + 1, torch.full((6,), 9), lengths)
    assert length.mean().item() == pytest.approx(torch.nn.functional.ctc_loss(*given).item(), rel=1e-12)
    total = torch.nn.functional.ctc_loss(*given, reduction="sum")
    assert line.mean().item() == pytest.approx(total.item() / 6, rel=1e-12)


def test_empty_lines_and_empty_batches() -> None:
    z = logits(3, 7, 4)
    empty = torch.full((3, 2), -1)
    expected = -z.log_softmax(-1)[..., 0].sum(1)
    for targets in (empty, empty[:, :0]):
        torch.testing.assert_close(CTCLoss(reduction="length")(z, targets), expected, rtol=1e-12, atol=0)
    for row in ROWS:
        given = z[:0].requires_grad_()
        value = row.build()(given, empty[:0], torch.zeros(0, 7, dtype=torch.long))
        assert value.shape == (0,)
        value.sum().backward()


@each_summed
def test_a_line_that_does_not_fit_is_never_free(row: Row) -> None:
    """Three equal classes need five frames. torch's zero_infinity would call it 0, and teach nothing."""
    targets = torch.tensor([[1, 1, 1], [1, 2, 1], [1, 1, -1]])
    assert torch.isinf(row.build()(logits(3, 4, 4), targets)).tolist() == [True, False, False]
    assert row.build()(logits(3, 5, 4), targets).isfinite().all()


def test_the_true_alignment_is_one_of_those_that_are_summed() -> None:
    z = logits(6, 9, 5, scale=4.0)
    aligned, summed = AlignedCrossEntropyLoss()(z, SEQUENCES, PATHS), ctc(z.log_softmax(-1), SEQUENCES)
    assert (aligned >= summed).all() and [collapsed(tuple(path.tolist())) for path in PATHS] == [
        tuple(k for k in line if k >= 0) for line in SEQUENCES.tolist()
    ]
    sure = 50 * torch.nn.functional.one_hot(PATHS, 5).double()  # no other alignment is left
    torch.testing.assert_close(
        AlignedCrossEntropyLoss()(sure, SEQUENCES, PATHS), ctc(sure.log_softmax(-1), SEQUENCES), rtol=0, atol=1e-12
    )


def test_aligned_needs_an_alignment() -> None:
    for path in (None, PATHS[:, :5], PATHS[:3]):
        with pytest.raises(ValueError, match=r"^path must say what each frame is, \(6, 9\), got"):
            AlignedCrossEntropyLoss()(logits(6, 9, 5), SEQUENCES, path)


@each
def test_wrong_shapes_are_refused(row: Row) -> None:
    for z, targets in (
        (logits(6, 9), SEQUENCES),
        (logits(5, 9, 5), SEQUENCES),
        (logits(6, 9, 5), SEQUENCES[:, 0]),
    ):
        with pytest.raises(ValueError, match=r"^logits must be of lines, frames and outputs"):
            row.build()(z, targets, PATHS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_is_finite_where_a_line_is_certain(dtype: torch.dtype) -> None:
    """For gamma < 1 the derivative of (1 - P)^gamma at P = 1 is infinite."""
    sure = 200 * torch.nn.functional.one_hot(PATHS, 5).to(dtype)
    for gamma in (0, 0.25, 1, 2):
        z = sure.clone().requires_grad_()
        value = FocalCTCLoss(gamma=gamma)(z, SEQUENCES)
        value.sum().backward()
        assert value.abs().max() < 1e-5 and z.grad is not None and z.grad.isfinite().all()


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_huge_logits(row: Row, dtype: torch.dtype) -> None:
    for kwargs in row.cases:
        for sign in (1, -1):
            z = (sign * 1e4 * torch.nn.functional.one_hot(PATHS, 5)).to(dtype).requires_grad_()
            value = row.build(**kwargs)(z, SEQUENCES, PATHS)
            value.sum().backward()
            assert value.dtype == torch.float32
            assert value.isfinite().all() and z.grad is not None and z.grad.isfinite().all(), kwargs


@each
def test_logits_need_not_be_normalised(row: Row) -> None:
    """torch's CTC of what is not normalised is a number, too, and may be negative."""
    z = logits(6, 9, 5)
    shifted = row.build()(z + 100, SEQUENCES, PATHS)
    torch.testing.assert_close(shifted, row.build()(z, SEQUENCES, PATHS), rtol=1e-11, atol=1e-11)


@each
def test_one_nll_judges_all(row: Row) -> None:
    loss: AlignmentLoss = row.build()
    z = logits(6, 9, 5)
    torch.testing.assert_close(loss.nll(z, SEQUENCES), CTCLoss(reduction="line")(z, SEQUENCES), rtol=0, atol=0)
    assert loss.nll(z.bfloat16(), SEQUENCES).dtype == torch.float32
    assert loss.outputs(10) == 11
