"""A folder of images, one folder a class: decoded once, then read through a memory map."""

import src.torchvision_cpu  # noqa: F401  before torchvision

# isort: split
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from torchvision.datasets import ImageFolder

from src.checks import integer
from src.data import cache
from src.data.base import DataError
from src.data.images import Official, StoredImageData
from src.runs.files import written_whole

AT_ONCE = 1000  # images that are decoded and not yet written, at most
Samples = list[tuple[str, int]]  # file, class


class VisibleFolders(ImageFolder):
    """ImageFolder without hidden folders (.ipynb_checkpoints) among its classes."""

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        names = sorted(p.name for p in Path(directory).iterdir() if p.is_dir() and not p.name.startswith("."))
        if not names:
            raise FileNotFoundError(f"no class folder in {directory}.")
        return names, {name: k for k, name in enumerate(names)}


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey images of 16 bits scaled to 8; Pillow's own conversion clips them to white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image


class ImageFolderData(StoredImageData):
    """``root/train/CLASS/*`` and ``root/test/CLASS/*`` in torchvision's ImageFolder layout, as RGB.

    Images are resized (bilinear) to ``image_size`` squared where they differ from it. What is decoded is kept in the
    user's cache folder and made anew when a file is added, removed, or changes its size or time.
    """

    name = "image_folder"

    def __init__(self, *, image_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_size = integer("image_size", image_size, low=1)
        self.shape = (3, image_size, image_size)

    def read(self) -> Official:
        names = tuple(self._scan()[0])
        tensors = cache.mapped(self._decoded())
        train, test = ((tensors[f"{split}_images"], tensors[f"{split}_labels"].clone()) for split in ("train", "test"))
        return Official(train, test, names)

    def _scan(self) -> tuple[list[str], dict[str, Samples]]:
        """Class names, and the files of both splits."""
        if not self.root.is_dir():
            raise DataError(f"no folder {self.root}: name the one that holds train/ and test/ with data.root=FOLDER")
        splits, names = {}, {}
        for split in ("train", "test"):
            folder = self.root / split
            if not folder.is_dir():
                there = ", ".join(sorted(path.name for path in self.root.iterdir() if path.is_dir())) or "no folder"
                raise DataError(
                    f"{self.root} has no folder {split}/ (there: {there}); the layout is {split}/CLASS/IMAGE"
                )
            try:
                listing = VisibleFolders(str(folder))
            except FileNotFoundError as error:
                raise DataError(
                    f"{folder}: {str(error).splitlines()[0].rstrip('.')}. The layout is {split}/CLASS/IMAGE"
                ) from error
            splits[split], names[split] = listing.samples, listing.classes
        if len(names["train"]) < 2:
            raise DataError(f"{self.root}: a loss needs at least two classes, there is only {names['train'][0]}")
        if names["train"] != names["test"]:
            odd = sorted(set(names["train"]) ^ set(names["test"]))
            raise DataError(f"{self.root}: train/ and test/ differ in the classes {', '.join(odd[:5])}")
        return names["train"], splits

    def _decoded(self) -> Path:
        """The file with all images as tensors, made first if it is not there or out of date."""
        _, splits = self._scan()
        files = [Path(path) for samples in splits.values() for path, _ in samples]
        state = hashlib.sha256(f"{self.image_size}".encode())
        for path in files:
            stat = path.stat()
            state.update(f"{path.relative_to(self.root)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        place = f"{self.root.resolve()}\0{self.image_size}"
        return cache.kept("image_folder", place, state.hexdigest(), partial(self._decode, splits, state.hexdigest()))

    def _decode(self, splits: dict[str, Samples], state: str, target: Path) -> None:
        """Write all images as they are decoded. Raises DataError and OSError."""
        count = sum(map(len, splits.values()))
        print(f"decoding {count:,} images of {self.root} (once; kept in {target.parent})", flush=True)
        size, content = (3, self.image_size, self.image_size), hashlib.sha256()
        tensors: cache.Shapes = {f"{split}_labels": ("I64", (len(samples),)) for split, samples in splits.items()}
        tensors |= {f"{split}_images": ("U8", (len(samples), *size)) for split, samples in splits.items()}

        def head() -> bytes:
            return cache.header(tensors, {"state": state, "content": content.hexdigest()})

        cache.check_room(target, count * 3 * self.image_size**2)
        with written_whole(target) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
            file.write(head())
            for samples in splits.values():
                file.write(np.array([k for _, k in samples], np.int64).data)
            for samples in splits.values():
                for start in range(0, len(samples), AT_ONCE):
                    paths = [path for path, _ in samples[start : start + AT_ONCE]]
                    for path, (pixels, digest) in zip(paths, pool.map(self._read_image, paths), strict=True):
                        file.write(np.ascontiguousarray(pixels.transpose(2, 0, 1)).data)
                        content.update(f"{Path(path).relative_to(self.root)}\0".encode() + digest)
            file.seek(0)
            file.write(head())  # of the same length

    def _read_image(self, path: str) -> tuple[np.ndarray, bytes]:
        """(H, W, 3) uint8, and the SHA-256 of the file."""
        size = (self.image_size, self.image_size)
        try:
            raw = Path(path).read_bytes()
            with Path(path).open("rb") as file, Image.open(file) as image:
                rgb = eight_bits(image).convert("RGB")
                pixels = np.array(rgb if rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR))
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"{path} is no readable image ({error}); remove or replace it") from error
        return pixels, hashlib.sha256(raw).digest()
