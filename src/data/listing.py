"""The files of a folder of images, one folder a class."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..config.errors import printable
from .base import DataError
from .labels import listed

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as torchvision's ImageFolder
Samples = list[tuple[str, int]]  # file, class


class Listing(NamedTuple):
    """What a folder holds."""

    names: list[str]  # of the classes
    splits: dict[str, Samples]  # train, test and, where there is such a folder, val
    notes: list[str]  # what is there and is not used


def listing(root: Path) -> Listing:
    """The images of ``root/SPLIT/CLASS``, by class, folder and name, each once, however many links lead to it.

    Hidden files and folders are none. Raises DataError, also where a file is in two classes or splits.
    """
    try:
        found = Found(root)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}") from error
    return Listing(found.names, found.splits, found.notes())


def images_in(place: Path) -> tuple[list[str], list[str]]:
    """The images below a folder, in the order of ``listing``, or the one file; and notes on what is not used.

    Raises DataError, also where there is no image.
    """
    if not place.is_dir():
        return [str(place)], []
    walk = Walk(place)
    try:
        found = walk.images(str(place))
    except OSError as error:
        raise DataError(f"{error.filename or place} cannot be read: {error.strerror}") from error
    if not found:
        raise walk.no_image(str(place), walk.skipped)
    return found, walk.notes()


class Walk:
    """A walk through folders below ``root``: each image once, and a count of what is not used."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.skipped: Counter[str] = Counter()  # files by suffix
        self.real: dict[str, str] = {}  # where each file is, whatever leads there

    def images(self, folder: str) -> list[str]:
        """All images below, in the order of torchvision's ImageFolder."""
        folders, reached, found = [folder], {os.path.realpath(folder)}, []
        while folders:
            top = folders.pop()
            place = os.path.realpath(top)
            files = []
            for entry in visible(top):
                if entry.is_dir():
                    if (real := os.path.realpath(entry.path)) not in reached:
                        reached.add(real)
                        folders.append(entry.path)
                elif suffix(entry.name) in SUFFIXES:
                    real = os.path.realpath(entry.path) if entry.is_symlink() else f"{place}/{entry.name}"
                    if self._is_new(folder, real, entry.path):
                        files.append(entry.path)
                else:
                    self._skip([entry.name])
            found.append((top, files))
        return [path for _, files in sorted(found) for path in files]

    def _is_new(self, folder: str, real: str, path: str) -> bool:
        """Whether the file was not found before. Raises DataError if it was, in another class or split."""
        first = self.real.setdefault(real, path)
        if first is not path and not first.startswith(f"{folder}/"):
            raise DataError(f"{path} and {first} are one file: an image has one class, and is in one split")
        return first is path

    def _skip(self, names: Iterable[str]) -> None:
        self.skipped.update(printable(suffix(name)) or "without suffix" for name in names)

    def no_image(self, folder: str, skipped: Counter[str]) -> DataError:
        there = listed([f"{n} {suffix}" for suffix, n in skipped.items()], 5) or "nothing"
        return DataError(f"{folder} has no image (there: {there}); images are {', '.join(SUFFIXES)}")

    def notes(self) -> list[str]:
        kinds = [f"{n:,} {suffix}" for suffix, n in self.skipped.most_common()]
        place = printable(str(self.root))
        return [f"files in {place} that are not used, by suffix: {listed(kinds, 10)}"] if kinds else []


class Found(Walk):
    """The splits and classes that are found on a walk through ``root``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.splits: dict[str, Samples] = {}
        if not root.is_dir():
            raise DataError(f"no folder {root}: name the one that holds train/ and test/ with data.root=FOLDER")
        there = sorted(entry.name for entry in visible(root) if entry.is_dir())
        for split in ("train", "test"):
            if split not in there:
                raise DataError(
                    f"{root} has no folder {split}/ (there: {listed(there, 10) or 'no folder'});"
                    f" the layout is {split}/CLASS/IMAGE"
                )
        self.others = [name for name in there if name not in ("train", "test", "val")]
        self.names = class_folders(root / "train")
        if len(self.names) < 2:
            raise DataError(f"{root}: a loss needs at least two classes, there is only {self.names[0]}")
        for split in ("train", "val", "test"):
            if split in there:
                self.splits[split] = self._split(split)

    def _split(self, split: str) -> Samples:
        names = class_folders(self.root / split)
        if names != self.names:
            odd = sorted(set(names) ^ set(self.names))
            alike = len({unicodedata.normalize("NFC", name) for name in odd}) < len(odd)
            hint = " (the same letters, composed in one name and not in the other)" if alike else ""
            raise DataError(f"{self.root}: train/ and {split}/ differ in the classes {listed(odd, 5)}{hint}")
        self._skip(entry.name for entry in visible(self.root / split) if not entry.is_dir())
        samples = []
        for k, name in enumerate(names):
            folder = str(self.root / split / name)
            skipped = self.skipped.copy()
            images = self.images(folder)
            if not images:
                raise self.no_image(folder, self.skipped - skipped)
            samples += [(path, k) for path in images]
        return samples

    def notes(self) -> list[str]:
        notes = super().notes()
        if self.others:
            others = [printable(name) for name in self.others]
            notes.append(f"folders in {printable(str(self.root))} that are not used: {listed(others, 10)}")
        return notes


def suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  several times as fast


def visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder but for what is hidden, by name. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def class_folders(folder: Path) -> list[str]:
    """The names of the classes of a split. Raises OSError and DataError."""
    names = [entry.name for entry in visible(folder) if entry.is_dir()]
    if not names:
        raise DataError(f"{folder} has no class folder; the layout is {folder.name}/CLASS/IMAGE")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{folder} has a class folder whose name is not UTF-8: {os.fsencode(name)!r}") from None
    return names
