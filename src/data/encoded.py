"""A text file too large to be held in memory: its characters as ids, in a file that is read through a memory map."""

import codecs
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config.errors import printable
from . import cache
from .base import DataError
from .cache import DTYPES
from .content import described, file_digest, opened

CHUNK = 2**18  # bytes that are in memory at a time
POINTS = 0x110000  # Unicode's code points
WIDTHS = {"U8": 2**8, "I16": 2**15, "I32": 2**31}  # a dtype, and how many ids it has


class Encoded(NamedTuple):
    """A whole text."""

    ids: Tensor  # (N,)
    alphabet: tuple[str, ...]
    digest: str  # of its UTF-8 bytes without a byte-order mark

    def fingerprint(self) -> str:
        return described(kind="text", content=self.digest)


def encoded(path: Path) -> Encoded:
    """The text as ids, kept in the user's cache and made anew when the file's content changes. Raises DataError."""
    with opened(path) as file:
        before = times(file)
        content = file_digest(file, mark(file))

        def make(target: Path) -> None:
            print(f"encoding {printable(str(path))} (once; kept in {target.parent})", flush=True)
            encode(file, path, content, before, target)

        kept = cache.kept("text_file", str(path.resolve()), content, make)
    return Encoded(kept.tensors["ids"], tuple(json.loads(kept.about["alphabet"])), content)


def times(file: BinaryIO) -> tuple[int, ...]:
    """What changes when somebody writes to an open file."""
    stat = os.fstat(file.fileno())
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def mark(file: BinaryIO) -> int:
    """The bytes of the byte-order mark that the file begins with, if it does."""
    return len(codecs.BOM_UTF8) if os.pread(file.fileno(), len(codecs.BOM_UTF8), 0) == codecs.BOM_UTF8 else 0


def numbered(counts: Tensor) -> tuple[str, str, Tensor]:
    """How often each code point occurs -> the alphabet, in order; the dtype of its ids; those by code point."""
    present = counts.nonzero().flatten().numpy()
    code = next(code for code, most in WIDTHS.items() if len(present) <= most)
    ids = np.zeros(len(counts), DTYPES[code])
    ids[present] = np.arange(len(present))
    return "".join(map(chr, present.tolist())), code, torch.from_numpy(ids)


def encode(file: BinaryIO, path: Path, content: str, before: tuple[int, ...], target: Path) -> None:
    """Write the ids of a text: one pass over it for its alphabet, one for the ids. Raises DataError and OSError.

    ``before`` are the times of the file when ``content`` was taken of it.
    """
    counts = torch.zeros(POINTS, dtype=torch.int64)
    for points in code_points(file, path):
        found = torch.bincount(points)
        counts[: len(found)] += found
    alphabet, code, ids = numbered(counts)

    def parts() -> Iterator[memoryview]:
        for points in code_points(file, path):
            yield ids.index_select(0, points).numpy().data
        if times(file) != before:
            raise DataError(f"{path} was changed while it was read: run again")

    about = {"state": content, "alphabet": json.dumps(alphabet)}
    cache.write(target, {"ids": (code, (int(counts.sum()),))}, about, parts())


def code_points(file: BinaryIO, path: Path) -> Iterator[Tensor]:
    """The text's characters in order, (n,) int32 at a time. Raises DataError."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = mark(file)
    try:
        file.seek(done)
        for chunk in itertools.chain(iter(lambda: file.read(CHUNK), b""), [b""]):
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise no_text(path, error, done - pending) from error
            done += len(chunk)
            if text:
                yield points_of(text)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def points_of(text: str) -> Tensor:
    """The text's code points (N,) int32."""
    return cache.read_only(np.frombuffer(text.encode("utf-32-le"), np.int32))


def no_text(path: Path, error: UnicodeDecodeError, before: int = 0) -> DataError:
    """The message for bytes that are no UTF-8; ``before`` the ones that the error tells of there are so many."""
    return DataError(
        f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at {before + error.start:,};"
        " convert it first (iconv -t UTF-8)"
    )
