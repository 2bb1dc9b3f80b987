"""A folder of images, one folder a class: decoded once, then read through a memory map."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from ..checks import integer
from ..config.errors import printable
from . import cache, decoding
from .base import DataError
from .content import described, file_hashes, hash_of, opened
from .images import StoredImageData
from .listing import Samples, listing
from .official import Official

AT_ONCE = 1000  # images that are decoded and not yet written, at most
Digests = dict[str, list[bytes]]  # of the files, by split


class ImageFolderData(StoredImageData):
    """``root/train/CLASS/*``, ``root/test/CLASS/*`` and, if it is there, ``root/val/CLASS/*`` as RGB images.

    Images are resized (bilinear) to ``image_size`` squared where they differ from it. Without ``val/`` validation is
    split off training. What is decoded is kept in the user's cache folder by the content of the files, which is
    hashed at each start.
    """

    name = "image_folder"

    def __init__(self, *, image_size: int, **kwargs: Any) -> None:
        self.image_size = integer("image_size", image_size, low=1)
        self.shape = (3, image_size, image_size)
        super().__init__(**kwargs)

    def read(self) -> Official:
        names, splits, notes = listing(self.root)
        digests = {split: file_hashes([path for path, _ in samples]) for split, samples in splits.items()}
        notes += repeated(splits, digests)
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))
        files = hashlib.sha256()
        for split, samples in splits.items():
            files.update(f"{split} {len(samples)}\n".encode())
            for (_, k), digest in zip(samples, digests[split], strict=True):
                files.update(digest + k.to_bytes(8, "little"))
        size = self.image_size
        state = described(decoder=decoding.VERSION, pillow=PIL.__version__, size=size, files=files.hexdigest())

        def make(target: Path) -> None:
            count = sum(map(len, splits.values()))
            print(
                f"decoding {count:,} images of {printable(str(self.root))} (once; kept in {target.parent})", flush=True
            )
            shapes: cache.Shapes = {f"{split}_labels": ("I64", (len(files),)) for split, files in splits.items()}
            shapes |= {f"{split}_images": ("U8", (len(files), 3, size, size)) for split, files in splits.items()}
            cache.write(target, shapes, {"state": state}, decoded(splits, digests, (3, size, size)))

        kept = cache.kept("image_folder", f"{os.path.realpath(self.root)}\0{size}", state, make)
        arrays = {split: (kept.tensors[f"{split}_images"], kept.tensors[f"{split}_labels"].clone()) for split in splits}
        return Official(arrays["train"], arrays["test"], tuple(names), arrays.get("val"), kept.digests)


def decoded(splits: dict[str, Samples], digests: Digests, shape: decoding.Shape) -> Iterator[bytes | memoryview]:
    """The bytes of all labels, then those of all images as they are decoded. Raises DataError."""

    def pixels(path: str, digest: bytes) -> memoryview:
        with opened(path) as file:
            try:
                found = decoding.decoded(file, shape)
            except Exception as error:  # a damaged file makes Pillow raise anything
                raise decoding.unusable(path, error) from None
            if hash_of(file.fileno()) != digest:
                raise DataError(f"{path} was changed while it was read: run again")
        return found.data

    for samples in splits.values():
        yield np.array([k for _, k in samples], np.int64).data
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for split, samples in splits.items():
            for start in range(0, len(samples), AT_ONCE):
                paths = [path for path, _ in samples[start : start + AT_ONCE]]
                yield from pool.map(pixels, paths, digests[split][start : start + AT_ONCE])


def repeated(splits: dict[str, Samples], digests: Digests) -> list[str]:
    """Notes on files of the same content in two splits, or in two classes of training."""
    notes = []
    for split, other in (("val", "train"), ("test", "train"), ("test", "val")):
        paths = [[path for path, _ in splits.get(name, [])] for name in (split, other)]
        first = dict(zip(digests.get(other, []), paths[1], strict=True))
        pairs = [(path, first[d]) for path, d in zip(paths[0], digests.get(split, []), strict=True) if d in first]
        if pairs:
            one, two = map(printable, pairs[0])
            notes.append(f"{len(pairs):,} images of {split}/ are in {other}/ too, {one} as {two}")
    classes = {(digest, k) for (_, k), digest in zip(splits["train"], digests["train"], strict=True)}
    twice = sum(n > 1 for n in Counter(digest for digest, _ in classes).values())
    if twice:
        notes.append(f"{twice:,} images of train/ are in more than one class")
    return notes
