"""The rows of a labels file: an image of a line, and what stands in it."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..config.errors import printable
from .base import DataError
from .content import opened
from .encoded import no_text
from .labels import listed
from .listing import Walk, visible

NAMES = ("labels.tsv", "labels.csv")
LAYOUT = f"{' or '.join(NAMES)}, a row an image: its file and its text, with a tab or comma between them"
HEADER = ("file_name", "text")  # a first row of these words is none of an image, as in Hugging Face's metadata.csv


class Row(NamedTuple):
    """A line: the image's file, its text, and where the labels file says so."""

    image: str
    text: str
    place: str


def rows_of_folder(root: Path) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of ``root``, as "all", or those of its folders train/, test/ and, if it is there, val/; and notes on
    what is not used. Raises DataError."""
    if not root.is_dir():
        raise DataError(f"no folder {root}: name the one that holds {LAYOUT} with data.root=FOLDER")
    try:
        there = [entry.name for entry in visible(root) if entry.is_dir()]
        own, apart = labels_in(root), [name for name in ("train", "test") if labels_in(root / name)]
        if own and apart:
            raise DataError(f"{own[0]} is there, and so is {labels_in(root / apart[0])[0]}: leave out one of them")
        if not own and not {"train", "test"} <= {*there}:
            raise DataError(
                f"{root} has no labels (there: {listed(there, 10) or 'no folder'}); the layout is {LAYOUT}, in this"
                " folder or in each of its folders train/, test/ and, if you like, val/"
            )
        parts: list[str] = ["all"] if own else [name for name in ("train", "val", "test") if name in there]
        folders = {part: root if own else root / part for part in parts}
        rows = {part: rows_of(folder) for part, folder in folders.items()}
        first: dict[str, Row] = {}
        for row in (row for part in rows.values() for row in part):
            before = first.setdefault(os.path.realpath(row.image), row)
            if before is not row:
                raise DataError(f"{row.place}, names {row.image}, which {before.place}, names: an image has one text")
        return rows, unused(folders, {*first}, Walk(root))
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}") from error


def labels_in(folder: Path) -> list[Path]:
    """The labels files of a folder."""
    return [folder / name for name in NAMES if (folder / name).exists()]


def unused(folders: dict[str, Path], used: set[str], walk: Walk) -> list[str]:
    """A note on the images that no row names. Raises OSError."""
    images = [path for folder in folders.values() for path in walk.images(str(folder))]
    rest = [path for path in images if os.path.realpath(path) not in used]
    if not rest:
        return []
    return [f"{len(rest):,} images are in no row of the labels and not used, {printable(rest[0])} for one"]


def rows_of(folder: Path) -> list[Row]:
    """The rows of a folder's labels file. Raises DataError and OSError."""
    found = labels_in(folder)
    if len(found) != 1:
        there = "has both" if found else "has none"
        raise DataError(f"{folder} needs one labels file and {there}: {LAYOUT}")
    (path,) = found
    with opened(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise no_text(path, error) from None
    rows: list[Row] = []
    for number, fields in lines_of(path, text):
        place = f"{path}, line {number:,}"
        if len(fields) != 2:
            raise DataError(f"{place}, has {len(fields)} columns; expected is {LAYOUT}")
        if tuple(fields) == HEADER and not rows:
            continue
        rows.append(Row(image_of(fields[0], folder, place), fields[1], place))
    if not rows:
        raise DataError(f"{path} has no row; expected is {LAYOUT}")
    return rows


def lines_of(path: Path, text: str) -> Iterator[tuple[int, Sequence[str]]]:
    """The number and the fields of each line that is not empty. Only in a .csv quotes have a meaning."""
    if path.suffix == ".tsv":
        for number, line in enumerate(text.split("\n"), start=1):
            if line := line.removesuffix("\r"):
                yield number, line.split("\t")
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num:,}, is no CSV: {error}") from None


def image_of(name: str, folder: Path, place: str) -> str:
    """The file that a row names, below the labels' folder. Raises DataError."""
    parts = PurePosixPath(name)
    if "\0" in name or not name or parts.is_absolute() or ".." in parts.parts:
        raise DataError(f"{place}, names the file {name!r}; expected is the name of an image in {folder}")
    image = folder / parts
    if not image.exists():
        raise DataError(f"{place}, names {image}, and no file is there")
    return str(image)
