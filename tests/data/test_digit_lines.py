"""Lines of digits: built as a loop over digits builds them, from digits of their own split, by seed and step alone."""

from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from src.data.base import DataError
from src.data.digit_lines import CELL, CORE, DigitLines, in_cells, widest
from src.data.digits import digits_of_splits, official_digits
from src.data.lines import needed_frames
from tests.conftest import ROOT


def settings(**changes: Any) -> dict[str, Any]:
    """Those of the option file, of few lines, but for ``changes``."""
    found = yaml.safe_load((ROOT / "conf/data/digit_lines.yaml").read_text())
    assert found.pop("_target_") == "src.data.digit_lines.DigitLines" and found.keys() >= changes.keys()
    return {**found, "val_lines": 40, "test_lines": 60, **changes}


def lines(**changes: Any) -> DigitLines:
    data = DigitLines(**settings(**changes))
    data.load()
    return data


def slowly(data: DigitLines, split: str, images: Tensor, lines: Tensor) -> Tensor:
    """The strips of a layout, digit by digit, from the digits' own columns of ink."""
    canvas = torch.zeros(len(lines[0]), 32, data.width, dtype=torch.uint8)
    for n, (digits, lefts, tops) in enumerate(zip(*lines, strict=True)):
        for digit, left, top in zip(digits.tolist(), lefts.tolist(), tops.tolist(), strict=True):
            if digit == len(images):  # an empty place
                continue
            inked = (images[digit, 0] > 0).any(0).nonzero().flatten()
            ink = images[digit, 0][:, inked[0] : inked[-1] + 1]
            first = left + (CELL - ink.shape[1]) // 2 + (CELL - ink.shape[1]) % 2
            for column in range(ink.shape[1]):
                own = canvas[n, top : top + 28, first + column]
                canvas[n, top : top + 28, first + column] = torch.maximum(own, ink[:, column])
    return canvas[:, 2:-2]


def test_strips_are_those_of_a_loop() -> None:
    data = lines()
    layout = data._drawn("train", 50, "a test")
    images = digits_of_splits(official_digits(), 0.1, data.split_seed)["train"][0]
    strips, targets = data._built("train", layout)
    assert strips.shape == (50, 1, 28, 192) and strips.dtype == torch.uint8
    assert torch.equal(strips[:, 0], slowly(data, "train", images, layout))
    assert ((targets[..., 0] >= 0) == (layout.digit < len(images))).all()


def test_no_ink_is_lost_in_a_cell() -> None:
    images, labels = official_digits().train
    cells = in_cells(images, labels)
    assert torch.equal(cells.cells[:-1].long().sum((1, 2)), images.long().sum((1, 2, 3)))
    assert cells.cells[-1].sum() == 0 and cells.labels[-1] == -1 and torch.equal(cells.labels[:-1], labels)


def test_layouts_are_even_and_within_their_bounds() -> None:
    data = lines()
    layout = data._drawn("train", 4000, "a test")
    there = layout.digit < 3600
    length = there.sum(1)
    assert torch.bincount(length, minlength=9)[3:].min() > 500 and length.min() == 3 and length.max() == 8
    apart = layout.left.diff(dim=1)[there[:, 1:]]
    assert torch.bincount(apart, minlength=24)[17:].min() > 1800 and (apart.min(), apart.max()) == (17, 23)
    assert torch.bincount(layout.top[there]).min() > 3800 and layout.top.max() == 4
    last = (layout.left * there).amax(1) + CELL
    assert layout.left.min() == 0 and last.max() == 192
    room = 192 - (last - layout.left[:, 0])  # where a line may begin
    share = layout.left[:, 0] / room
    assert share.mean().item() == pytest.approx(0.5, abs=0.02) and torch.histc(share, 4).min() > 900


def test_targets_tell_where_digits_are() -> None:
    """The middle of each: there is ink in these columns, and a gap of 5 or more before the next one's."""
    data = lines()
    strips, targets = data.splits["test"]
    there = targets[..., 0] >= 0
    assert (targets[~there] == -1).all()
    first, stop = targets[..., 1], targets[..., 2]
    assert (stop - first)[there].unique().tolist() == [CORE[1] - CORE[0]]
    assert (first[:, 1:] - stop[:, :-1])[there[:, 1:]].min() >= 5
    inked = (strips[:, 0] > 0).any(1)
    for n, u in there.nonzero().tolist():
        assert inked[n, first[n, u] : stop[n, u]].any()


def test_splits_share_no_digit() -> None:
    data = lines()
    kinds = {split: {cell.numpy().tobytes() for cell in given.cells[:-1]} for split, given in data.digits.items()}
    assert [len(given.labels) - 1 for given in data.digits.values()] == [3600, 400, 1000]
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert len(kinds[one] & kinds[other]) == 0
    assert torch.bincount(data.digits["val"].labels[:-1]).tolist() == [40] * 10


def test_training_lines_are_a_function_of_seed_and_step() -> None:
    data = lines()
    x, y = data.train_batch(3, 5)
    again, same = lines(test_lines=61).train_batch(3, 5)
    assert torch.equal(x, again) and torch.equal(y, same)
    for other in (data.train_batch(3, 6), data.train_batch(4, 5)):
        assert not torch.equal(other[1], y)
    parts = [data.train_batch(3, 5, rank, 2) for rank in range(2)]
    for whole, cut in zip((x, y), zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.stack(cut, 1).flatten(0, 1), whole)
    assert x.mean().abs() < 0.1 and abs(x.std() - 1) < 0.1


def test_a_step_is_the_same_however_it_is_accumulated() -> None:
    data, cut = lines(), lines(batch_size=8)
    cut.accumulate = 4
    whole = data.train_batch(0, 2)
    parts = [cut.train_batch(0, number) for number in range(8, 12)]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(torch.cat(several), one)


def test_splits_of_evaluation_are_fixed_and_whole() -> None:
    data, other = lines(), lines(batch_size=16, digits=[3, 8])
    for split, count in (("val", 40), ("test", 60)):
        assert torch.equal(data.splits[split][0], other.splits[split][0])
        assert sum(len(batch.targets) for batch in data.eval_loader(split)) == count


def test_needed_frames() -> None:
    sequences = torch.tensor([[1, 1, 1], [1, 2, 1], [4, 4, -1], [-1, -1, -1], [0, -1, -1]])
    assert needed_frames(sequences).tolist() == [5, 3, 3, 0, 1]
    needed = lines(digits=[0, 2]).spec.needed_frames
    assert len(needed) == 4 and sum(needed) == 101 and needed[0] > 10  # 40 + 60 lines, and the longest of training


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("digits", [1, 12], r"at most 8 digits fit into data.width=192 \(data.width=273 holds 12\), got \[1, 12\]"),
        ("digits", [5, 4], "ascending"),
        ("digits", [3], "a list of two integers"),
        ("digits", "3-8", "a list of two integers"),
        ("digits", [3, 8.0], "an integer >= 1"),
        ("digits", [-1, 8], "an integer >= 0"),
        ("digits", [0, 0], "an integer >= 1"),
        ("width", 19, ">= 20"),
        ("val_fraction", 0, "> 0"),
        ("train_lines", 0, ">= 1"),
        ("test_lines", 0, ">= 1"),
        ("batch_size", True, ">= 1"),
    ],
)
def test_bad_settings_are_refused_by_name(key: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{key} must be .*{message}"):
        DigitLines(**settings(**{key: value}))


def test_as_many_digits_fit_as_is_said() -> None:
    data = lines(digits=[12, 12], width=widest(12))
    assert (data.splits["test"][1][..., 0] >= 0).all()
    with pytest.raises(ValueError, match="at most 11 digits fit"):
        lines(digits=[12, 12], width=widest(12) - 1)


def test_a_batch_larger_than_an_epoch_is_made_smaller() -> None:
    data = lines(train_lines=20)
    assert data.batch_size == 20 and "data.batch_size is 20" in data.notes[0] and data.batches_per_epoch() == 1


def test_other_lines_in_a_models_terms() -> None:
    data, other = lines(), lines(digits=[1, 12], width=288)
    with pytest.raises(DataError, match="images of 1 x 28 x 288, the model reads 1 x 28 x 192"):
        other.adopt(data.spec)
    spec = lines(width=288).spec
    other.adopt(spec)
    assert other.spec == spec and [*other.splits] == ["test"] and other.splits["test"][1].shape == (60, 12, 3)
