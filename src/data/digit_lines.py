"""Lines of handwritten digits."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import integer, number
from .base import Pair, generator
from .digits import DIGITS, digits_of_splits, official_digits
from .lines import LineData
from .official import Official

CELL = 20  # columns of a digit: its makers scaled the ink of each to fit 20 x 20 pixels
OVERLAP = 3  # columns by which two neighbours overlap, or are apart, at most
SHIFT = 2  # rows by which a digit stands higher or lower, at most
CORE = (4, 16)  # columns of a cell that the digit is said to stand in: then there is a gap between any two of them


class Digits(NamedTuple):
    """Cells (M + 1, H, 20) uint8 with the ink in the middle, and the class of each, (M + 1,); the last is empty, -1."""

    cells: Tensor
    labels: Tensor


class Layout(NamedTuple):
    """Of N lines of U places: which digit each place has, and the column and the row, from 0 to 4, where it begins."""

    digit: Tensor
    left: Tensor
    top: Tensor


class DigitLines(LineData):
    """Lines of real digits, those of mnist_5k, in a strip of 28 rows: their sequence is to be told.

    digits: fewest and most digits of a line, all lengths equally likely. width: columns of a strip. Neighbours overlap
    by -3 to 3 columns, where the darker pixel counts, each digit is shifted by -2 to 2 rows, and the line begins
    anywhere in the strip. All of this is drawn evenly. Training lines are drawn anew in each optimizer step, as a
    function of (seed, step); an epoch is ``train_lines`` of them. Those of validation and test are fixed. Each split is
    made of digits that no other has: validation takes ``val_fraction`` of the training digits.

    A target has the place of each digit: the middle 12 of its 20 columns.
    """

    name = "digit_lines"
    targets = "alignment"

    def __init__(
        self,
        *,
        batch_size: int,
        eval_batch_size: int,
        digits: Sequence[int],
        width: int,
        val_fraction: float,
        train_lines: int,
        val_lines: int,
        test_lines: int,
    ) -> None:
        super().__init__(batch_size=batch_size, eval_batch_size=eval_batch_size)
        self.width = integer("width", width, low=CELL)
        self.fewest, self.most = self._range(digits)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.9)
        self.train_lines = integer("train_lines", train_lines, low=1)
        self.lines = {
            "val": integer("val_lines", val_lines, low=1),
            "test": integer("test_lines", test_lines, low=1),
        }
        self.fill_a_batch(self.train_lines)

    def _range(self, digits: Sequence[int]) -> tuple[int, int]:
        if isinstance(digits, str) or not isinstance(digits, Sequence) or len(digits) != 2:
            raise ValueError(f"digits must be a list of two integers, the fewest and the most, got {digits!r}")
        fewest, most = integer("digits", digits[0], low=0), integer("digits", digits[1], low=1)
        room = (self.width + OVERLAP) // (CELL + OVERLAP)  # digits that fit however far they are apart
        if fewest > most or most > room:
            raise ValueError(
                f"digits must be two integers in ascending order, and at most {room} digits fit into"
                f" data.width={self.width} (data.width={widest(most)} holds {most}), got {list(digits)!r}"
            )
        return fewest, most

    def content(self) -> Official:
        return official_digits()

    def load(self) -> None:
        found = digits_of_splits(self.taken(), self.val_fraction, self.split_seed)
        self.digits = {split: in_cells(images, labels) for split, (images, labels) in found.items()}
        self.splits = {
            split: self._built(split, self._drawn(split, lines, "lines", split, self.split_seed))
            for split, lines in self.lines.items()
        }
        some, _ = self._built("train", self._drawn("train", 1000, "statistics", self.split_seed))
        longest = torch.zeros(1, self.most, dtype=torch.long)  # that training may draw
        sequences = [*(targets[..., 0] for _, targets in self.splits.values()), longest]
        self.spec = self.spec_of(some, sequences, DIGITS, torch.bincount(found["train"][1], minlength=len(DIGITS)))

    def to(self, device: torch.device) -> None:
        super().to(device)
        self.digits = {split: Digits(*(part.to(device) for part in given)) for split, given in self.digits.items()}

    def batches_per_epoch(self) -> int:
        return self.train_lines // self.batch_size

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        step, own = self.part(number, rank, world)
        layout = self._drawn("train", self.step_size, "lines", seed, step)
        images, targets = self._built("train", Layout(*(part[own] for part in layout)))
        return self.normalise(images), targets

    def _drawn(self, split: str, lines: int, *key: int | str) -> Layout:
        """The layout of so many lines, a function of ``key``, on the CPU."""
        g, shape = generator(*key), (lines, self.most)
        empty = len(self.digits[split].labels) - 1
        length = torch.randint(self.fewest, self.most + 1, (lines, 1), generator=g)
        digit = torch.randint(empty, shape, generator=g)
        pitch = CELL - torch.randint(-OVERLAP, OVERLAP + 1, shape, generator=g)
        top = torch.randint(2 * SHIFT + 1, shape, generator=g)
        place = torch.arange(self.most)
        left = pitch.cumsum(1) - pitch  # of a line that begins at 0
        end = ((left + CELL) * (place < length)).amax(1, keepdim=True)
        left += (torch.rand(lines, 1, generator=g, dtype=torch.float32) * (self.width - end + 1)).long()
        return Layout(torch.where(place < length, digit, empty), left.clamp_max(self.width - CELL), top)

    def _built(self, split: str, layout: Layout) -> Pair:
        """Strips (N, 1, 28, W) uint8, and their targets (N, U, 3)."""
        cells, labels = self.digits[split]
        layout = Layout(*(part.to(cells.device) for part in layout))
        label = labels[layout.digit]
        spans = [torch.where(label < 0, -1, layout.left + edge) for edge in CORE]
        return strips(cells[layout.digit], layout, self.width), torch.stack([label, *spans], -1)


def widest(digits: int) -> int:
    """Columns that so many digits may take."""
    return CELL * digits + OVERLAP * (digits - 1)


def in_cells(images: Tensor, labels: Tensor) -> Digits:
    """(M, 1, H, W) uint8 digits, (M,) -> each with its ink in the middle of 20 columns, and an empty cell behind."""
    inked = (images[:, 0] > 0).any(1)  # (M, W)
    columns = torch.arange(inked.shape[1])
    first = torch.where(inked, columns, len(columns)).amin(1)
    last = torch.where(inked, columns, -1).amax(1)
    start = (first + last + 1 - CELL) // 2  # left of the image, where the ink is at its edge
    source = start[:, None] + torch.arange(CELL)  # (M, 20)
    there = (source >= 0) & (source < len(columns))
    index = source.clamp(0, len(columns) - 1)[:, None].expand(-1, images.shape[2], -1)
    cells = images[:, 0].gather(2, index) * there[:, None]
    empty = cells.new_zeros(1, *cells.shape[1:])
    return Digits(torch.cat([cells, empty]), torch.cat([labels, labels.new_full((1,), -1)]))


def strips(cells: Tensor, layout: Layout, width: int) -> Tensor:
    """(N, U, H, 20) uint8 -> (N, 1, H, width): each cell in its place; where two overlap the larger pixel counts."""
    lines, _, height, _ = cells.shape
    rows = layout.top[..., None, None] + torch.arange(height, device=cells.device)[:, None]  # (N, U, H, 1)
    columns = layout.left[..., None, None] + torch.arange(CELL, device=cells.device)  # (N, U, 1, 20)
    canvas = cells.new_zeros(lines, (height + 2 * SHIFT) * width)
    canvas.scatter_reduce_(1, (rows * width + columns).flatten(1), cells.flatten(1), "amax")
    return canvas.view(lines, 1, -1, width)[:, :, SHIFT:-SHIFT]
