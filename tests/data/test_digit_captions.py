"""Strips of digits and captions: what they are made of, which captions are unseen, and how steps are cut."""

import functools
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from src.data.base import DataError
from src.data.digit_angle import DigitAngle
from src.data.digit_captions import CAPTIONS, DigitCaptions, unseen
from src.data.digits import official_digits

SETTINGS: dict[str, Any] = {
    **{"batch_size": 128, "eval_batch_size": 500, "val_fraction": 0.1},
    **{"train_strips": 32000, "val_strips": 1000, "test_strips": 2000},
}


def fresh(**changes: Any) -> DigitCaptions:
    data = DigitCaptions(**{**SETTINGS, **changes})
    data.load()
    return data


@functools.cache
def captions() -> DigitCaptions:
    return fresh()


def parts(images: Tensor) -> list[bytes]:
    """The three digits of each strip, (N, 1, 28, 84) uint8."""
    return [digit.contiguous().numpy().tobytes() for strip in images for digit in strip.split(28, -1)]


def stored(data: DigitCaptions, split: str) -> Tensor:
    """Its strips as uint8: of training those of three steps."""
    if split != "train":
        return data.splits[split][0]
    x = torch.cat([data.train_batch(0, step)[0] for step in range(3)])
    return ((x * data.std + data.mean) * 255).round().to(torch.uint8)


def test_a_strip_is_the_digits_of_its_caption_and_of_its_own_split() -> None:
    """By the labels of the digits themselves, image by image; no image is in two splits."""
    data = captions()
    found = official_digits()
    labels = {
        image.numpy().tobytes(): (split, int(label))
        for split, (images, digits) in (("train", found.train), ("test", found.test))
        for image, label in zip(images, digits, strict=True)
    }
    used = {}
    for split in ("train", "val", "test"):
        images = parts(stored(data, split))
        chosen = data.splits[split][1]
        if split == "train":
            chosen = torch.cat([data.train_batch(0, step)[1] for step in range(3)])
        assert [labels[image][1] for image in images] == [int(c) for k in chosen.tolist() for c in f"{k:03}"]
        assert {labels[image][0] for image in images} == {"test" if split == "test" else "train"}
        used[split] = set(images)
    assert not used["train"] & used["val"] and len(used["val"]) > 390


def test_captions_are_words() -> None:
    assert len(set(CAPTIONS)) == 1000 and captions().spec.class_names == CAPTIONS
    assert CAPTIONS[739] == "seven three nine" and max(map(len, CAPTIONS)) == 17


def test_200_captions_are_never_trained_and_always_the_same() -> None:
    data, other = captions(), fresh(batch_size=32, train_strips=1600, val_fraction=0.3)
    never = set(unseen(data.split_seed).tolist())
    assert len(never) == 200
    for one, each in ((data, 40), (other, 2)):
        assert {k for k, n in enumerate(one.spec.class_counts) if n == 0} == never
        assert set(one.spec.class_counts) == {0, each}
    drawn = torch.cat([data.train_batch(3, step)[1] for step in range(data.steps_per_epoch())])
    assert torch.bincount(drawn, minlength=1000).tolist() == list(data.spec.class_counts)
    for digit in range(10):  # each digit is seen at each place
        assert all(any(f"{k:03}"[place] == str(digit) for k in set(range(1000)) - never) for place in range(3))


def test_evaluation_has_every_caption_and_is_the_same_for_every_run() -> None:
    data, other = captions(), fresh(batch_size=16, train_strips=800)
    for split, each in (("val", 1), ("test", 2)):
        assert torch.bincount(data.splits[split][1]).tolist() == [each] * 1000
        assert torch.equal(data.splits[split][0], other.splits[split][0])
    first = data.eval_batch("test", 1)[1]
    assert first.equal(data.splits["test"][1][500:1000]) and data.eval_batches("test") == 4


def test_digits_are_drawn_evenly() -> None:
    data = captions()
    images = parts(torch.cat([stored(data, "train")]))
    few = fresh(val_fraction=0.89)  # 44 images of each digit are left
    x = torch.cat([few.train_batch(0, step)[0] for step in range(40)])
    seven = few.splits["train"][0].images[few.splits["train"][0].starts[7] :][:44].to(torch.float32).flatten(1)
    raw = ((x * few.std + few.mean) * 255).round()
    first = raw[..., :28].flatten(1)[torch.cat([few.train_batch(0, s)[1] for s in range(40)]) // 100 == 7]
    count = torch.bincount(torch.cdist(first, seven).argmin(1), minlength=44)
    assert len(images) == 3 * 384 and count.sum() == len(first)
    assert stats.chisquare(count.numpy()).pvalue > 0.01


def test_batches_are_rows_of_their_step_however_it_is_cut() -> None:
    whole, cut = captions(), fresh(batch_size=32)
    cut.accumulate = 4
    for step in (0, 3, 260):
        x, y = whole.train_batch(7, step)
        pieces = [cut.train_batch(7, 4 * step + i) for i in range(4)]
        torch.testing.assert_close((x, y), tuple(map(torch.cat, zip(*pieces, strict=True))), rtol=0, atol=0)
        ranks = [whole.train_batch(7, step, rank, 2) for rank in (0, 1)]
        for i, both in enumerate((x, y)):
            assert torch.equal(torch.stack([ranks[0][i], ranks[1][i]], 1).flatten(0, 1), both)
    assert not torch.equal(whole.train_batch(7, 0)[0], whole.train_batch(8, 0)[0])


def test_pixels_are_standardised_by_the_training_digits() -> None:
    data = captions()
    x = torch.cat([data.train_batch(0, step)[0] for step in range(40)]).double()
    assert abs(x.mean()) < 0.02 and abs(x.std() - 1) < 0.02
    assert data.spec.input_shape == tuple(x.shape[1:]) == (1, 28, 84)


def test_a_limited_evaluation_takes_a_fixed_sample() -> None:
    data = fresh(eval_batch_size=100)
    sample = torch.cat([data.eval_batch("test", i, 3)[1] for i in range(3)])
    assert len(sample) == 300
    assert torch.equal(sample, torch.cat([fresh(eval_batch_size=100).eval_batch("test", i, 3)[1] for i in range(3)]))


def test_another_runs_terms_are_adopted() -> None:
    data, trained = fresh(val_fraction=0.5), captions()
    data.adopt(trained.spec)
    torch.testing.assert_close(data.eval_batch("test", 0), trained.eval_batch("test", 0), rtol=0, atol=0)
    assert data.spec == trained.spec and data.splits.keys() == {"test"}
    angle = DigitAngle(batch_size=8, eval_batch_size=8, val_fraction=0.1, train_examples=None, target_noise=0.0)
    angle.load()
    with pytest.raises(DataError, match=r"digit_captions has images of 1 x 28 x 84 .*, the model reads 1 x 28 x 28"):
        fresh().adopt(angle.spec)


def test_few_strips_make_a_small_batch() -> None:
    data = fresh(train_strips=50)
    assert data.batch_size == 50 and data.notes == ("data.batch_size is 50, all that there is to train on",)
    with pytest.raises(DataError, match="a digit is missing in the val split"):
        fresh(val_fraction=1e-5)


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "batch_size": [0, 1.5, "a"],
        "eval_batch_size": [0, None],
        "val_fraction": [0, 1, "a", float("nan")],
        **{f"{split}_strips": [0, -1, 2.5, "a", None, True] for split in ("train", "val", "test")},
    }.items(),
)
def test_bad_settings_are_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            DigitCaptions(**{**SETTINGS, name: value})
