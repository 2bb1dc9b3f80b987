"""Splits, order, augmentation and normalisation of image data sets."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.data.base import DataError, generator, quotas, stratified
from src.data.images import ImageData
from src.data.official import Official
from src.data.pixels import augmented, channel_statistics, cut_out
from src.data.resident import Rows
from tests.data.batches import pairs
from tests.data.settings import digits, examples, image_settings


def test_mnist_5k_is_five_thousand_digits() -> None:
    data = digits()
    assert data.spec.input_shape == (1, 28, 28)
    assert data.spec.class_names == tuple("0123456789")
    assert [len(examples(data, split)[1]) for split in ("train", "val", "test")] == [3600, 400, 1000]
    for split, per_class in (("train", 360), ("val", 40), ("test", 100)):
        assert torch.bincount(examples(data, split)[1]).tolist() == [per_class] * 10
    assert data.spec.class_counts == (360,) * 10


def test_splits_share_no_image() -> None:
    data = digits()
    images = [{image.numpy().tobytes() for image in examples(data, split)[0]} for split in ("train", "val", "test")]
    assert sum(map(len, images)) == 5000
    assert len(set.union(*images)) == 5000


def test_train_examples_takes_a_stratified_subset_and_leaves_the_rest() -> None:
    whole, some = digits(), digits(train_examples=503)
    counts = torch.bincount(examples(some, "train")[1])
    assert counts.sum() == 503
    assert counts.max() - counts.min() <= 1
    for split in ("val", "test"):
        torch.testing.assert_close(examples(some, split), examples(whole, split))


def test_an_epoch_shows_each_example_once_in_an_order_of_its_own() -> None:
    data = digits(batch_size=60)
    assert data.steps_per_epoch() == 60
    seen: dict[int, list[int]] = {}
    mean = examples(data, "train")[0].float().mean((1, 2, 3))
    for epoch in (0, 1):
        batches = [data.train_batch(7, epoch * 60 + i) for i in range(60)]
        got = torch.cat([x for x, _ in batches])
        pixel_mean = ((got * data.std + data.mean) * 255).mean((1, 2, 3))
        torch.testing.assert_close(pixel_mean.sort().values, mean.sort().values, rtol=1e-4, atol=1e-3)
        seen[epoch] = torch.cat([y for _, y in batches]).tolist()
    assert sorted(seen[0]) == sorted(seen[1])
    assert seen[0] != seen[1]


def test_batches_are_a_function_of_seed_and_step() -> None:
    one, other = (digits(pad=2, flip=True, cutout=8) for _ in range(2))
    other.train_batch(3, 17)  # asked in another order
    for step in (0, 5, 70):
        torch.testing.assert_close(one.train_batch(3, step), other.train_batch(3, step), rtol=0, atol=0)
    assert not torch.equal(one.train_batch(3, 0)[1], one.train_batch(4, 0)[1])


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_global_batch(world: int) -> None:
    data = digits(pad=2, flip=True, cutout=8)
    whole, _ = data.train_batch(0, 4)
    parts = [data.train_batch(0, 4, rank, world)[0] for rank in range(world)]
    again = torch.empty_like(whole)
    for rank, part in enumerate(parts):
        again[rank::world] = part
    assert torch.equal(again, whole)


def test_evaluation_covers_a_split_once_in_order_whatever_the_ranks() -> None:
    data = digits()
    labels = torch.cat([y for _, y in pairs(data.eval_loader("test"))])
    assert torch.equal(labels, examples(data, "test")[1])
    assert [len(y) for _, y in pairs(data.eval_loader("test"))] == [300, 300, 300, 100]
    ranks = [pairs(data.eval_loader("test", rank=rank, world=3)) for rank in range(3)]
    assert [len(batches) for batches in ranks] == [2, 1, 1]
    assert torch.equal(ranks[1][0][0], data.eval_batch("test", 1)[0])
    assert len(data.eval_loader("test", limit=2)) == 2


def test_loader_goes_on_from_its_position() -> None:
    data = digits()
    loader = data.train_loader(0, 5)
    iterator = iter(loader)
    next(iterator), next(iterator)
    state = copy.deepcopy(loader.state_dict())
    rest = [batch.targets.tolist() for batch in iterator]
    resumed = data.train_loader(0, 5)
    resumed.load_state_dict(state)
    assert [y.tolist() for _, y in pairs(resumed)] == rest
    assert len(rest) == 3
    assert len(resumed) == 5  # Lightning wants the length of the whole


def test_overfitting_repeats_the_first_batches() -> None:
    labels = [y.tolist() for _, y in pairs(digits().train_loader(0, 5, repeat=2))]
    assert labels[0] == labels[2] == labels[4] != labels[1] == labels[3]


def test_pixels_are_standardised_by_the_training_split() -> None:
    data = digits()
    x = data.normalise(examples(data, "train")[0])
    assert x.mean().abs() < 1e-4
    assert (x.std() - 1).abs() < 1e-3
    pixels = examples(data, "train")[0].numpy().astype(np.float64) / 255
    np.testing.assert_allclose(data.mean.item(), pixels.mean(), rtol=1e-6)
    np.testing.assert_allclose(data.std.item(), pixels.std(), rtol=1e-6)


def test_statistics_of_each_channel() -> None:
    images = torch.randint(0, 256, (50, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = channel_statistics(Rows(images))
    pixels = images.double() / 255
    torch.testing.assert_close(mean.double(), pixels.mean((0, 2, 3), keepdim=True)[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(std.double(), pixels.std((0, 2, 3), keepdim=True, unbiased=False)[0], rtol=1e-6, atol=0)


class Ramp(ImageData):
    """4,096 images that name each of their pixels."""

    name = "ramp"

    def read(self) -> Official:
        image = torch.arange(1, 49, dtype=torch.uint8).reshape(1, 6, 8)
        images, labels = image.expand(4096, 1, 6, 8).contiguous(), torch.arange(4096) % 2
        return Official((images, labels), (images[:10], labels[:10]), ("even", "odd"))


def crops(image: Tensor, pad: int) -> Tensor:
    """All crops of a padded image, and their mirrors, by plain loops."""
    padded = torch.zeros(image.shape[0] + 2 * pad, image.shape[1] + 2 * pad, dtype=image.dtype)
    padded[pad : pad + image.shape[0], pad : pad + image.shape[1]] = image
    found = []
    for i in range(2 * pad + 1):
        for j in range(2 * pad + 1):
            crop = padded[i : i + image.shape[0], j : j + image.shape[1]]
            found += [crop, crop.flip(1)]
    return torch.stack(found)


def test_augmentation_draws_every_crop_and_mirror_alike() -> None:
    data = Ramp(**image_settings(batch_size=3600, pad=1, flip=True))
    data.load()
    out = augmented(examples(data, "train")[0][:3600], 1, True, 3600, slice(None), generator("test"))[:, 0]
    possible = crops(examples(data, "train")[0][0, 0], 1)
    matches = (out[:, None] == possible[None]).flatten(2).all(-1)
    assert matches.sum(1).eq(1).all()  # each output is exactly one of them
    counts = matches.sum(0)
    assert len(counts) == 18
    expected = 3600 / 18
    assert ((counts - expected) ** 2 / expected).sum() < 40.8  # chi-squared, 17 degrees of freedom, p = 0.001


@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_cutout_is_a_loop_over_pixels(size: int) -> None:
    """Of images of any colour but the mean; the centres are drawn as they are there, rows first."""
    x = 1 + torch.rand(50, 3, 6, 9)
    before, expected = x.clone(), x.clone()
    g = generator("test")
    rows, columns = (torch.randint(side, (50, 1), generator=g).flatten().tolist() for side in (6, 9))
    for i in range(50):
        for row in range(rows[i] - size // 2, rows[i] - size // 2 + size):
            for column in range(columns[i] - size // 2, columns[i] - size // 2 + size):
                if 0 <= row < 6 and 0 <= column < 9:
                    expected[i, :, row, column] = 0
    assert torch.equal(cut_out(x, size, 50, slice(None), generator("test")), expected)
    assert torch.equal(x, before)


def test_cutout_draws_every_centre_alike() -> None:
    blank = cut_out(torch.ones(5400, 1, 6, 9), 1, 5400, slice(None), generator("test"))[:, 0] == 0
    assert blank.sum((1, 2)).eq(1).all()
    assert ((blank.sum(0) - 100) ** 2 / 100).sum() < 90.6  # chi-squared, 53 degrees of freedom, p = 0.001


def test_training_images_alone_are_cut_after_they_are_standardised() -> None:
    data, plain = digits(pad=2, flip=True, cutout=8), digits(pad=2, flip=True)
    (x, y), (whole, labels) = data.train_batch(3, 17), plain.train_batch(3, 17)
    assert torch.equal(y, labels)
    assert torch.equal(x, cut_out(whole, 8, 64, slice(None), generator("cutout", 3, 17)))
    assert (x != whole).flatten(1).any(1).all()
    assert not torch.equal(x == 0, data.train_batch(3, 18)[0] == 0)
    for split in ("val", "test"):
        torch.testing.assert_close(data.eval_batch(split, 0), plain.eval_batch(split, 0), rtol=0, atol=0)


@pytest.mark.parametrize("cutout", [-1, 2.5, True, "8", None])
def test_cutout_is_a_number_of_pixels(cutout: Any) -> None:
    with pytest.raises(ValueError, match=r"cutout must be an integer >= 0, got"):
        Ramp(**image_settings(cutout=cutout))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(sum), st.data())
@settings(max_examples=200)
def test_quotas_are_proportional_and_sum_up(counts: list[int], draw: st.DataObject) -> None:
    total = draw.draw(st.integers(0, sum(counts)))
    share = quotas(torch.tensor(counts), total)
    assert share.sum() == total
    for n, q in zip(counts, share.tolist(), strict=True):
        assert abs(q - n * total / sum(counts)) < 1
        assert q <= n
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    chosen = stratified(labels, share, torch.Generator().manual_seed(0))
    assert torch.bincount(labels[chosen], minlength=len(counts)).tolist() == share.tolist()
    assert len(set(chosen.tolist())) == total


def test_more_training_examples_than_there_are() -> None:
    with pytest.raises(DataError, match=r"data.train_examples=4000: only 3600 are there"):
        digits(train_examples=4000)


def test_no_hidden_state_in_the_data(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data = digits(pad=2)
    data.train_batch(0, 0)
    assert torch.equal(torch.get_rng_state(), before)
