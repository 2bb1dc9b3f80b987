"""A text file too large to be held in memory: its characters as ids, in a file that is read through a memory map."""

import codecs
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.data import cache
from src.data.base import DataError
from src.data.cache import DTYPES
from src.runs.files import written_whole

CHUNK = 2**18  # bytes that are in memory at a time
POINTS = 0x110000  # Unicode's code points
WIDTHS = {"U8": 2**8, "I16": 2**15, "I32": 2**31}  # a dtype, and how many ids it has


def encoded(path: Path) -> tuple[Tensor, tuple[str, ...], str]:
    """The text as ids (N,), its alphabet, and the SHA-256 of its bytes without a byte-order mark.

    Kept in the user's cache and made anew when the file changes its size, time or inode. Raises DataError.
    """
    state = state_of(path)
    file = cache.kept("text_file", str(path.resolve()), state, lambda target: encode(path, state, target))
    about = cache.metadata(file)
    return cache.mapped(file)["ids"], tuple(json.loads(about["alphabet"])), about["content"]


def state_of(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def numbered(counts: Tensor) -> tuple[str, str, Tensor]:
    """How often each code point occurs -> the alphabet, in order; the dtype of its ids; those by code point."""
    present = counts.nonzero().flatten().numpy()
    code = next(code for code, most in WIDTHS.items() if len(present) <= most)
    ids = np.zeros(len(counts), DTYPES[code])
    ids[present] = np.arange(len(present))
    return "".join(map(chr, present.tolist())), code, torch.from_numpy(ids)


def encode(path: Path, state: str, target: Path) -> None:
    """Write the ids of a text: one pass over it for its alphabet, one for the ids. Raises DataError and OSError."""
    print(f"encoding {path} (once; kept in {target.parent})", flush=True)
    digest = hashlib.sha256()
    counts = torch.zeros(POINTS, dtype=torch.int64)
    for points in code_points(path, digest):
        found = torch.bincount(points)
        counts[: len(found)] += found
    alphabet, code, ids = numbered(counts)
    length = int(counts.sum())
    about = {"state": state, "content": digest.hexdigest(), "alphabet": json.dumps(alphabet)}
    cache.check_room(target, length * ids.itemsize)
    with written_whole(target) as file:
        file.write(cache.header({"ids": (code, (length,))}, about))
        for points in code_points(path):
            file.write(ids.index_select(0, points).numpy().data)
        if state_of(path) != state:
            raise DataError(f"{path} was changed while it was read: run again")


def code_points(path: Path, digest: Any = None) -> Iterator[Tensor]:
    """The text's characters in order, (n,) int32 at a time; ``digest`` is fed its bytes. Raises DataError."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    try:
        with path.open("rb") as file:
            if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
                done = len(codecs.BOM_UTF8)
            file.seek(done)
            for chunk in itertools.chain(iter(lambda: file.read(CHUNK), b""), [b""]):
                if digest is not None:
                    digest.update(chunk)
                pending = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    raise no_text(path, error, done - pending) from error
                done += len(chunk)
                if text:
                    yield points_of(text)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def points_of(text: str) -> Tensor:
    """The text's code points (N,) int32."""
    return cache.read_only(np.frombuffer(text.encode("utf-32-le"), np.int32))


def no_text(path: Path, error: UnicodeDecodeError, before: int = 0) -> DataError:
    """The message for bytes that are no UTF-8; ``before`` the ones that the error tells of there are so many."""
    return DataError(
        f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at {before + error.start:,};"
        " convert it first (iconv -t UTF-8)"
    )
