"""Mixed batches are what a loop over their pixels makes, and lambda is drawn from its distribution."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from src.data.base import generator
from src.data.mixing import box, mixed
from src.data.mnist import MNIST5k
from tests.data.settings import digits, image_settings


def key(step: int) -> np.random.Generator:
    """The generator that mixes batch ``step`` of seed 3."""
    return np.random.default_rng(generator("mixing", 3, step).initial_seed())


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_weighs_by_a_beta_distribution(alpha: float) -> None:
    """Two images of two classes: where each is the other's partner, the first's target shows lambda."""
    x, y = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1])
    shown = []
    for step in range(4000):
        (first, _), targets = mixed(x, y, 2, "mixup", alpha, key(step))
        assert first.item() == pytest.approx(targets[0, 1].item(), abs=1e-7)
        rng = key(step)
        rng.beta(alpha, alpha)
        if rng.permutation(2)[0] == 1:
            shown.append(targets[0, 0].item())
        else:
            assert targets[0, 0] == 1
    assert stats.binomtest(len(shown), 4000, 0.5).pvalue > 0.01
    assert stats.kstest(shown, stats.beta(alpha, alpha).cdf).pvalue > 0.01


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_batch_is_a_loop_over_pixels(mix: str) -> None:
    data, plain = (digits(mixup=kind, pad=2, flip=True, cutout=8) for kind in (mix, None))
    shares = []
    for step in range(12):
        x, y = plain.train_batch(3, step)
        rng = key(step)
        share, partner = rng.beta(1.0, 1.0), rng.permutation(64)
        expected, targets = x.clone(), torch.zeros(64, 10, dtype=torch.float64)
        if mix == "cutmix":
            half, spans = int(28 * (1 - share) ** 0.5) // 2, []
            for _ in range(2):
                centre = int(rng.integers(28))
                spans.append([i for i in range(28) if centre - half <= i < centre + half])
            share = 1 - len(spans[0]) * len(spans[1]) / 28**2
        for i in range(64):
            other = partner[i]
            if mix == "mixup":
                expected[i] = share * x[i].double() + (1 - share) * x[other].double()
            else:
                for row in spans[0]:
                    for column in spans[1]:
                        expected[i, 0, row, column] = x[other, 0, row, column]
            targets[i, y[i]] += share
            targets[i, y[other]] += 1 - share
        got, got_targets = data.train_batch(3, step)
        torch.testing.assert_close(got, expected, rtol=0, atol=0 if mix == "cutmix" else 1e-6)
        torch.testing.assert_close(got_targets.double(), targets, rtol=0, atol=1e-7)
        shares.append(share)
    assert len(set(shares)) == 12
    assert data.soft_targets and not plain.soft_targets


def test_weight_of_cutmix_is_the_share_of_pixels() -> None:
    """Each image has one colour, its own class: what is left of it can be counted."""
    x, y = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 10, 14).contiguous(), torch.arange(8)
    for step in range(300):
        got, targets = mixed(x, y, 8, "cutmix", 1.0, key(step))
        for colour in range(8):
            share = (got == colour).float().mean((1, 2, 3))
            torch.testing.assert_close(targets[:, colour], share, rtol=0, atol=1e-7)
    assert torch.equal(x, torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 10, 14))  # the originals are left alone


def test_boxes_cover_every_pixel_and_never_more_than_asked() -> None:
    rng = np.random.default_rng(0)
    covered = np.zeros((6, 9))
    for _ in range(2000):
        weight = rng.uniform()
        rows, columns = box(weight, 6, 9, rng)
        covered[rows, columns] += 1
        assert (rows.stop - rows.start) * (columns.stop - columns.start) <= (1 - weight) * 54
    assert covered.min() > 0


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_batches_are_a_function_of_seed_and_step(mix: str) -> None:
    one, other = digits(mixup=mix), digits(mixup=mix)
    other.train_batch(3, 17)
    torch.testing.assert_close(one.train_batch(3, 5), other.train_batch(3, 5), rtol=0, atol=0)
    whole = one.train_batch(3, 4)
    for rank in range(3):
        torch.testing.assert_close(one.train_batch(3, 4, rank, 3), tuple(part[rank::3] for part in whole))
    assert not torch.equal(one.train_batch(4, 4)[1], whole[1])
    torch.testing.assert_close(whole[1].sum(1), torch.ones(64))


def test_validation_and_test_are_never_mixed() -> None:
    data, plain = digits(mixup="mixup"), digits()
    for split in ("val", "test"):
        torch.testing.assert_close(data.eval_batch(split, 0), plain.eval_batch(split, 0), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": "mixcut"}, "mixup must be one of mixup, cutmix, got 'mixcut'"),
        ({"mixup_alpha": 0}, "mixup_alpha must be a number > 0, got 0"),
    ],
)
def test_bad_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MNIST5k(**image_settings(**changes))
