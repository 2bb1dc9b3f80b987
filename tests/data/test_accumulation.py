"""Accumulated batches are parts of one large batch: the same examples an optimizer step, in every epoch."""

from pathlib import Path
from typing import Any

import pytest
import torch

from src.data.base import Data
from src.data.mnist import MNIST
from src.data.text import PythonDocs
from tests.data.batches import pairs
from tests.data.settings import digits, image_settings

CUTS = ((16, 4), (32, 2), (8, 8))  # of a step of 64 examples
IMAGES = [
    {},
    {"pad": 2, "flip": True, "cutout": 8, "label_noise": 0.2},
    {"pad": 2, "mixup": "mixup"},
    {"pad": 2, "binarise": "dynamic"},
    {"flip": True, "mixup": "cutmix", "resident": "host"},
]


def images(batch_size: int, accumulate: int, limit: int | None, **changes: Any) -> Data:
    return cut(digits(batch_size=batch_size, train_examples=330, **changes), accumulate, limit)


def text(batch_size: int, accumulate: int, limit: int | None) -> Data:
    data = PythonDocs(block_size=8, batch_size=batch_size, eval_batch_size=4, val_fraction=0.1, test_fraction=0.1)
    data.load()
    return cut(data, accumulate, limit)


def cut(data: Data, accumulate: int, limit: int | None) -> Data:
    data.accumulate, data.limit = accumulate, limit
    data.to(torch.device("cpu"))
    return data


def steps_of(data: Data, first: int, last: int, world: int, repeat: bool = False) -> list[list[torch.Tensor]]:
    """Inputs and targets of the optimizer steps from ``first`` on, the ranks' shares put together again."""
    a, epoch = data.accumulate, data.steps_per_epoch() * data.accumulate
    parts = []
    for rank in range(world):
        loader = data.train_loader(3, last * a, repeat=epoch if repeat else None, rank=rank, world=world)
        loader.load_state_dict({"position": first * a})
        parts.append(pairs(loader))
    batches = [[torch.stack(shares, 1).flatten(0, 1) for shares in zip(*of, strict=True)] for of in zip_ranks(parts)]
    return [[torch.cat(of) for of in zip(*batches[i : i + a], strict=True)] for i in range(0, len(batches), a)]


def zip_ranks(parts: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(of) for of in zip(*parts, strict=True)]


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("changes", IMAGES, ids=str)
def test_images_of_three_epochs(changes: dict[str, Any], world: int) -> None:
    whole = images(64, 1, None, **changes)
    assert whole.steps_per_epoch() == 5  # 330 are 5 steps of 64, and 20 batches of 16
    expected = steps_of(whole, 0, 15, 1)
    assert not torch.equal(expected[0][0], expected[5][0]), "each epoch has its own order"
    for batch_size, accumulate in CUTS:
        data = images(batch_size, accumulate, None, **changes)
        assert data.steps_per_epoch() == 5 and data.batches_per_epoch() > 5 * accumulate - 1
        torch.testing.assert_close(steps_of(data, 0, 15, world), expected, rtol=0, atol=0)
        torch.testing.assert_close(steps_of(data, 8, 15, world), expected[8:], rtol=0, atol=0)  # resumed


@pytest.mark.parametrize("world", [1, 2])
def test_text_of_three_epochs(world: int) -> None:
    whole = text(64, 1, 7)
    expected = steps_of(whole, 0, 21, 1)
    for batch_size, accumulate in CUTS:
        data = text(batch_size, accumulate, 7 * accumulate + 1)  # the batch too many is dropped
        assert data.steps_per_epoch() == 7
        torch.testing.assert_close(steps_of(data, 0, 21, world), expected, rtol=0, atol=0)
    assert text(16, 4, None).steps_per_epoch() == text(64, 1, None).steps_per_epoch() > 100


@pytest.mark.parametrize("make", [images, text])
def test_limits_and_few_batches_by_heart(make: Any) -> None:
    expected = steps_of(make(64, 1, 2), 0, 6, 1)
    by_heart = steps_of(make(64, 1, 2), 0, 6, 1, repeat=True)
    torch.testing.assert_close(by_heart, 3 * expected[:2], rtol=0, atol=0)
    data = make(16, 4, 11)  # two steps, and three batches that are dropped
    torch.testing.assert_close(steps_of(data, 0, 6, 2), expected, rtol=0, atol=0)
    torch.testing.assert_close(steps_of(data, 0, 6, 2, repeat=True), by_heart, rtol=0, atol=0)


def test_an_epoch_takes_no_example_twice_and_begins_anew_after_its_last_step() -> None:
    data = images(16, 4, None)
    seen = [steps_of(data, 5 * epoch, 5 * epoch + 5, 1) for epoch in range(3)]
    rows = [{tuple(row.tolist()) for x, _ in epoch for row in x.flatten(1)} for epoch in seen]
    assert [len(epoch) for epoch in rows] == [320] * 3
    assert rows[0] != rows[1] and rows[1] != rows[2], "another ten examples are left out"


@pytest.mark.slow
def test_the_whole_of_mnist(real_data: Path) -> None:
    found = []
    for batch_size, accumulate in ((6000, 1), (1500, 4)):
        settings = image_settings(batch_size=batch_size, pad=1)
        data = MNIST(root=str(real_data), **settings)
        data.load()
        found.append(steps_of(cut(data, accumulate, None), 0, 3 * data.steps_per_epoch(), 1))
    assert len(found[0]) == 3 * (54_000 // 6000)
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
