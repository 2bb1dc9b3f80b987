"""A folder of images of lines, and a file that says what stands in each."""

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from ..checks import integer, number, path
from ..config.errors import printable
from . import cache, decoding
from .base import DataError, generator
from .content import described, file_hashes, hash_of, opened
from .line_labels import Row, rows_of_folder
from .lines import LineData

LONGEST = 2**15  # columns of an image: of what is longer, somebody has forgotten to cut lines


class Line(NamedTuple):
    """The image of a line, (W, H) uint8 by columns, and the row that says what stands in it."""

    columns: Tensor
    row: Row


class Found(NamedTuple):
    """What a folder holds, by split; "all" if it is not split."""

    splits: dict[str, list[Line]]
    digests: dict[str, str]

    def fingerprint(self) -> str:
        """A SHA-256, in hex, of pixels and texts, in the order of the rows, by split."""
        texts = {split: [line.row.text for line in lines] for split, lines in self.splits.items()}
        return described(kind="lines", texts=texts, **self.digests)


class LineFolderData(LineData):
    """Grey images of lines and their texts: a folder with labels.tsv or labels.csv, or its folders train/, test/ and
    perhaps val/ with one each.

    A row of a labels file is the name of an image, in the folder of that file, and the text that stands in it. Each
    character of the training texts is a class, and a text may be empty. Images are scaled to ``height`` rows; the
    narrower ones get their own background on the right, the median of their pixels, up to ``width`` columns, or those
    of the widest if that is None. What is decoded is kept in the user's cache folder by the content of the files, which
    is hashed at each start.

    Without folders, validation and test are drawn, by a fixed seed, ``val_fraction`` and ``test_fraction`` of the
    lines; without val/ validation is ``val_fraction`` of train/. A line that has a character which no other training
    line has stays in training.
    """

    name = "line_folder"

    def __init__(
        self,
        *,
        root: str,
        height: int,
        width: int | None,
        val_fraction: float,
        test_fraction: float,
        batch_size: int,
        eval_batch_size: int,
    ) -> None:
        super().__init__(batch_size=batch_size, eval_batch_size=eval_batch_size)
        self.root = path("root", root)
        self.height = integer("height", height, low=1)
        self.width = None if width is None else integer("width", width, low=1, high=LONGEST)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.9)
        self.test_fraction = number("test_fraction", test_fraction, above=0, high=0.9)

    def content(self) -> Found:
        rows, notes = rows_of_folder(self.root)
        every = [row for part in rows.values() for row in part]
        digests = file_hashes([row.image for row in every])
        self.notes = tuple(dict.fromkeys((*self.notes, *notes, *copies(rows, digests))))
        files = hashlib.sha256(b"".join(digests)).hexdigest()
        state = described(decoder=decoding.VERSION, pillow=PIL.__version__, height=self.height, files=files)

        def make(target: Path) -> None:
            place = printable(str(self.root))
            print(f"decoding {len(every):,} images of {place} (once; kept in {target.parent})", flush=True)
            images = decoded(every, digests, self.height)
            shapes: cache.Shapes = {"widths": ("I64", (len(images),))}
            shapes["columns"] = ("U8", (sum(map(len, images)), self.height))
            widths = np.array([len(image) for image in images], np.int64)
            cache.write(target, shapes, {"state": state}, [widths.data, *(image.data for image in images)])

        kept = cache.kept("line_folder", f"{os.path.realpath(self.root)}\0{self.height}", state, make)
        images = iter(torch.split(kept.tensors["columns"], kept.tensors["widths"].tolist()))
        return Found({split: [Line(next(images), row) for row in part] for split, part in rows.items()}, kept.digests)

    def load(self) -> None:
        found = self._split(self.taken().splits)
        for split, lines in found.items():
            if not lines:
                raise DataError(
                    f"{self.name}: there is no line for {split}, since those that have a character of their own stay in"
                    f" training: take more lines, a larger data.{split}_fraction, or a folder {split}/"
                )
        self.fill_a_batch(len(found["train"]))
        alphabet = sorted({*"".join(line.row.text for line in found["train"])})
        if not alphabet:
            raise DataError(f"{self.name}: no training line has a character, so there is nothing to learn")
        every = [line for lines in found.values() for line in lines]
        width, longest = self._width(every), max(1, *(len(line.row.text) for line in every))
        self.splits = {
            split: (strips(lines, self.height, width), sequences(lines, alphabet, longest))
            for split, lines in found.items()
        }
        pixels, learnt = self.splits["train"]
        counts = torch.bincount(learnt[learnt >= 0], minlength=len(alphabet))
        self.spec = self.spec_of(pixels, [targets for _, targets in self.splits.values()], tuple(alphabet), counts)

    def _width(self, lines: list[Line]) -> int:
        """Columns of all images. Raises DataError if one is wider than it may be."""
        widest = max(lines, key=lambda line: len(line.columns))
        columns = len(widest.columns)
        if self.width is not None and columns > self.width:
            more = sum(len(line.columns) > self.width for line in lines)
            raise DataError(
                f"{widest.row.image} has {columns:,} columns at data.height={self.height}, more than"
                f" data.width={self.width} as {more:,} lines have: take data.width={columns}, or leave them out"
            )
        return self.width or columns

    def _split(self, found: dict[str, list[Line]]) -> dict[str, list[Line]]:
        """Training, validation and test."""
        whole = found.get("all") or found["train"]
        sizes = {"val": self.val_fraction * ("val" not in found), "test": self.test_fraction * ("all" in found)}
        held = held_out([line.row.text for line in whole], [round(part * len(whole)) for part in sizes.values()])
        drawn = {split: [whole[i] for i in part] for split, part in zip(sizes, held, strict=True)}
        rest = {*range(len(whole))}.difference(*held)
        return {"train": [whole[i] for i in sorted(rest)]} | {
            split: found.get(split) or drawn[split] for split in drawn
        }


def copies(rows: dict[str, list[Row]], digests: list[bytes]) -> list[str]:
    """A note on images of the same content in two splits."""
    first: dict[bytes, tuple[str, Row]] = {}
    pairs = []
    each = [(split, row) for split, part in rows.items() for row in part]
    for (split, row), digest in zip(each, digests, strict=True):
        other, before = first.setdefault(digest, (split, row))
        if other != split:
            pairs.append((row.image, before.image))
    if not pairs:
        return []
    one, two = map(printable, pairs[0])
    return [f"{len(pairs):,} images are in two splits, {one} as {two} for one"]


def decoded(rows: list[Row], digests: list[bytes], height: int) -> list[np.ndarray]:
    """The columns of each image, (W, H) uint8 of grey, scaled to ``height``. Raises DataError."""

    def pixels(row: Row, digest: bytes) -> np.ndarray:
        with opened(row.image) as file:
            try:
                rgb = decoding.read(file)
                found = scaled(rgb, height)
            except DataError as error:
                raise DataError(f"{row.image} {error}") from None
            except Exception as error:  # a damaged file makes Pillow raise anything
                raise decoding.unusable(row.image, error) from None
            if hash_of(file.fileno()) != digest:
                raise DataError(f"{row.image} was changed while it was read: run again")
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(pixels, rows, digests))


def scaled(rgb: Image.Image, height: int) -> np.ndarray:
    """(W, H) uint8 of grey, of the image's own proportions. Raises DataError where it is no line."""
    width = max(1, round(rgb.width * height / rgb.height))
    if width > LONGEST:
        raise DataError(
            f"has {rgb.width:,} x {rgb.height:,} pixels: at data.height={height} that is {width:,} columns, more than"
            f" {LONGEST:,}; cut it into lines"
        )
    return np.ascontiguousarray(decoding.fitted(rgb, (1, height, width))[0].T)


def strips(lines: list[Line], height: int, width: int) -> Tensor:
    """(N, 1, height, width) uint8: each image, and behind it the median of its pixels."""
    found = torch.empty(len(lines), 1, height, width, dtype=torch.uint8)
    for strip, line in zip(found, lines, strict=True):
        strip[...] = line.columns.median()
        strip[0, :, : len(line.columns)] = line.columns.T
    return found


def sequences(lines: list[Line], alphabet: list[str], longest: int) -> Tensor:
    """(N, longest): the class of each character, -1 behind the end. Raises DataError for one that training lacks."""
    index = {character: k for k, character in enumerate(alphabet)}
    rows = []
    for _, row in lines:
        if odd := next((character for character in row.text if character not in index), None):
            raise DataError(
                f"{row.place}, has the character {odd!r} (U+{ord(odd):04X}), which no training line has: add one that"
                f" has it, or leave this one out ({len(alphabet)} characters are known)"
            )
        rows.append([index[character] for character in row.text] + [-1] * (longest - len(row.text)))
    return torch.tensor(rows)


def held_out(texts: list[str], sizes: list[int]) -> list[list[int]]:
    """Disjoint random parts of the lines, of these sizes or less, in ascending order, the same for every run.

    What is left has every character: a line that has the last of one is not taken.
    """
    order = torch.randperm(len(texts), generator=generator("lines", LineFolderData.split_seed)).tolist()
    lines_with = Counter(character for text in texts for character in {*text})
    parts: list[list[int]] = [[] for _ in sizes]
    for i in order:
        characters = {*texts[i]}
        part = next((part for part, size in zip(parts, sizes, strict=True) if len(part) < size), None)
        if part is not None and all(lines_with[character] > 1 for character in characters):
            part.append(i)
            lines_with.subtract(characters)
    return [sorted(part) for part in parts]
