"""A test that is cut is of examples from all over the split, the same ones for every run and number of ranks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.data.base import Chance
from src.data.images import ImageData
from src.data.official import Official
from src.data.text import TextFile
from tests.data.batches import pairs
from tests.data.settings import image_settings
from tests.data.test_text import SETTINGS, TEXT

COUNTS = (500, 300, 150, 50)


class Sorted(ImageData):
    """Images that name themselves, one class after the other, as a folder has them."""

    name = "sorted"

    def read(self) -> Official:
        labels = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
        images = torch.arange(1000)[:, None] // torch.tensor([250, 1]) % 250
        return Official((pixels := images.to(torch.uint8)[:, None, None], labels), (pixels, labels), tuple("abcd"))


def data(**changes: object) -> Sorted:
    made = Sorted(**image_settings(eval_batch_size=50, val_fraction=0.5, **changes))
    made.load()
    return made


@pytest.mark.parametrize("limit", [1, 2, 7, 19])
def test_a_sorted_split_is_cut_in_the_proportions_of_its_classes(limit: int) -> None:
    batches = pairs(data().eval_loader("test", limit))
    assert [len(y) for _, y in batches] == [50] * limit
    counts = torch.bincount(torch.cat([y for _, y in batches]), minlength=4).tolist()
    assert all(abs(k - n * limit * 50 / 1000) < 1 for k, n in zip(counts, COUNTS, strict=True))
    images = torch.cat([x for x, _ in batches]).flatten(1)
    assert len(images.unique(dim=0)) == limit * 50


def test_the_sample_is_the_same_for_every_object_rank_and_place_of_the_images() -> None:
    one, other, host = data(), data(batch_size=7), data(resident="host")
    for made in (one, other, host):
        made.to(torch.device("cpu"))
    whole = pairs(one.eval_loader("test", 7))
    for made in (other, host):
        torch.testing.assert_close(pairs(made.eval_loader("test", 7)), whole, rtol=0, atol=0)
    for rank in range(3):
        loader = host.eval_loader("test", 7, rank, 3)
        torch.testing.assert_close(pairs(loader), whole[rank::3], rtol=0, atol=0)


@pytest.mark.parametrize("limit", [20, 21, None])
def test_a_limit_that_cuts_nothing_changes_nothing(limit: int | None) -> None:
    made = data()
    expected = [made.eval_batch("test", i) for i in range(20)]
    torch.testing.assert_close(pairs(made.eval_loader("test", limit)), expected, rtol=0, atol=0)


def test_text_is_cut_into_blocks_from_all_over_the_split(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT * 3)
    text = TextFile(path=str(tmp_path / "text"), **SETTINGS)
    text.load()
    part, blocks = text.parts["train"], (len(text.parts["train"]) - 1) // 8
    for limit in (1, 5, text.eval_batches("train") - 2):
        expected = [part[start : start + 8] for start in (j * blocks // (3 * limit) * 8 for j in range(3 * limit))]
        found = torch.cat([x for x, _ in pairs(text.eval_loader("train", limit))])
        assert torch.equal(found, torch.stack(expected))
    whole = pairs(text.eval_loader("train"))
    assert sum(y.numel() for _, y in whole) == len(part) - 1
    almost = pairs(text.eval_loader("train", len(whole) - 1))  # all but the short block at its end
    assert sum(y.numel() for _, y in almost) == blocks * 8


@pytest.mark.parametrize("draw", [Chance.normal, Chance.uniform])
def test_what_is_drawn_is_the_same_in_a_run_of_float64(draw: Callable[..., Tensor]) -> None:
    """Lightning makes float64 torch's default type within a step, for which torch draws other numbers."""
    first = draw(Chance(3, 7, size=5), "latents", 4)
    torch.set_default_dtype(torch.float64)
    try:
        second = draw(Chance(3, 7, size=5), "latents", 4)
    finally:
        torch.set_default_dtype(torch.float32)
    assert second.dtype == torch.float32 and torch.equal(first, second)
