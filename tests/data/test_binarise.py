"""Pixels that are 0 or 1 by chance: what is drawn, when, and that nothing else is."""

import math
from typing import Any

import pytest
import torch

from src.data.base import DataError, generator
from src.data.cifar import CIFAR10
from src.data.image_folder import ImageFolderData
from src.data.mnist import MNIST5k
from src.data.pixels import binarised
from tests.data.settings import digits, examples, image_settings


def test_a_pixel_is_one_with_the_probability_that_its_grey_value_says() -> None:
    """Each grey value 0 to 255, 20,000 times: within five standard errors, and exactly at both ends."""
    n = 20_000
    grey = torch.arange(256, dtype=torch.uint8).expand(n, 256).reshape(n, 1, 16, 16)
    drawn = binarised(grey, n, slice(None), generator("test"))
    assert drawn.dtype == torch.uint8 and set(drawn.unique().tolist()) == {0, 255}
    share = (drawn == 255).double().mean(0).flatten()
    p = torch.arange(256, dtype=torch.float64) / 255
    assert (share[0], share[255]) == (0, 1)
    assert ((share - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


def test_pixels_are_drawn_apart_from_each_other() -> None:
    """Half-grey images: neither neighbours in an image nor the same place in two images go together."""
    n = 4000
    drawn = binarised(torch.full((n, 1, 4, 4), 128, dtype=torch.uint8), n, slice(None), generator("test")) / 255.0
    flat = drawn.flatten(1) - 128 / 255
    bound = 5 * 0.25 / math.sqrt(n)
    covariance = flat.T @ flat / n
    assert (covariance - covariance.diag().diag()).abs().max() < bound
    assert (flat[1:] * flat[:-1]).mean(0).abs().max() < bound


def test_a_part_of_a_step_has_its_rows_of_the_step() -> None:
    grey = torch.randint(256, (12, 1, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = binarised(grey, 12, slice(None), generator("test"))
    for own in (slice(0, 12, 2), slice(1, 12, 2), slice(3, 7)):
        assert torch.equal(binarised(grey[own], 12, own, generator("test")), whole[own])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_network_sees_is_zero_and_one(dtype: torch.dtype) -> None:
    data = digits(binarise="dynamic")
    data.dtype = dtype
    for x, _ in (data.train_batch(0, 3), data.eval_batch("val", 0), data.eval_batch("test", 3)):
        assert x.dtype == dtype and set(x.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(x.half().float(), x.float()), "no grey value that half precision would round"
    assert (data.spec.mean, data.spec.std) == ((0.0,), (1.0,))


def test_training_draws_anew_in_each_step_by_seed_and_step_alone() -> None:
    one, other = digits(binarise="dynamic", train_examples=64), digits(binarise="dynamic", train_examples=64)
    other.train_batch(3, 17)
    for number in (0, 40):
        torch.testing.assert_close(one.train_batch(3, number), other.train_batch(3, number), rtol=0, atol=0)

    def in_order(seed: int, number: int) -> torch.Tensor:
        """The epoch of one batch, in the order of the split."""
        return one.train_batch(seed, number)[0][
            one._order(seed, number, len(one.splits["train"][1]), torch.device("cpu")).argsort()
        ]

    drawn = torch.stack([in_order(3, number) for number in range(200)])
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(in_order(4, 0), drawn[0])
    grey = examples(one, "train")[0] / 255.0
    error = (grey * (1 - grey) / len(drawn)).sqrt()
    assert ((drawn.mean(0) - grey).abs() <= 6 * error).all(), "50,176 pixels, each the mean of 200 draws"


def test_validation_and_test_are_one_fixed_draw() -> None:
    one = digits(binarise="dynamic")
    other = digits(binarise="dynamic", eval_batch_size=64, batch_size=10, pad=2, train_examples=500)
    for split in ("val", "test"):
        for kind in (0, 1):
            assert torch.equal(examples(one, split)[kind], examples(other, split)[kind])
        assert torch.equal(one.eval_batch(split, 0)[0][64:128], other.eval_batch(split, 1)[0])
        grey = examples(digits(), split)[0]
        assert examples(one, split)[0].double().mean().item() == pytest.approx(grey.double().mean().item(), rel=0.01)
        sure = (grey == 0) | (grey == 255)
        assert torch.equal(examples(one, split)[0][sure], grey[sure])
    assert not torch.equal(examples(one, "val")[0][:100], examples(one, "test")[0][:100])


def test_a_sample_of_a_split_is_of_the_same_draw() -> None:
    data = digits(binarise="dynamic")
    sample, _ = data.eval_batch("test", 0, limit=1)
    images = {
        bytes(image.flatten().byte().tolist())
        for image, _ in [(x, y) for x, y in zip(*examples(data, "test"), strict=True)]
    }
    assert all(bytes((255 * image).flatten().byte().tolist()) in images for image in sample)


def test_labels_order_and_splits_are_those_of_grey_images() -> None:
    grey, binary = digits(pad=2, flip=True), digits(pad=2, flip=True, binarise="dynamic")
    assert grey.fingerprint() == binary.fingerprint()
    for number in (0, 60):
        (x, y), (drawn, labels) = grey.train_batch(1, number), binary.train_batch(1, number)
        assert torch.equal(y, labels)
        pixels = (x * grey.std + grey.mean).clamp(0, 1)
        certain = (pixels < 1e-4) | (pixels > 1 - 1e-4)
        assert torch.equal(drawn[certain], pixels[certain].round()), "the same shifts and mirrors"


def test_other_data_are_adopted_as_drawn() -> None:
    data, run = digits(binarise="dynamic"), digits(binarise="dynamic")
    expected = data.eval_batch("test", 0)
    data.adopt(run.spec)
    torch.testing.assert_close(data.eval_batch("test", 0), expected, rtol=0, atol=0)


@pytest.mark.parametrize("value", ["static", "", 1, True, 0.5, ["dynamic"]])
def test_bad_value(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^binarise must be one of dynamic, got "):
        MNIST5k(**image_settings(binarise=value))


def test_what_cannot_be_binarised_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match=r"^binarise must be null with data\.mixup=mixup, which makes grey pixels"):
        MNIST5k(**image_settings(binarise="dynamic", mixup="mixup"))
    MNIST5k(**image_settings(binarise="dynamic", mixup="cutmix"))
    for make in (
        lambda: CIFAR10(root="/nowhere", **image_settings(binarise="dynamic")),
        lambda: ImageFolderData(root="/nowhere", image_size=8, **image_settings(binarise="dynamic")),
    ):
        with pytest.raises(
            ValueError, match=r"^binarise must be null for images of 3 channels, got 'dynamic'"
        ) as error:
            make()
        assert not isinstance(error.value, DataError)
