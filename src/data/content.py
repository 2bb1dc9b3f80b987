"""What data are, whatever their place, names and times: hashes of their content."""

import hashlib
import itertools
import json
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from .base import DataError

BLOCK = 2**20  # bytes that one thread hashes at a time
AT_ONCE = 64  # small files that one thread hashes before it hands them on
THREADS = min(8, os.cpu_count() or 1)  # that read and hash; each holds a block


def digest(content: bytes | memoryview) -> str:
    """SHA-256, in hex, of the SHA-256s of each ``BLOCK`` bytes of ``content``."""
    view = memoryview(content)
    return in_blocks(len(view), lambda start: view[start : start + BLOCK])


def file_digest(file: BinaryIO, skipped: int = 0) -> str:
    """``digest`` of what an open file holds after the first ``skipped`` bytes, a block of it in memory at a time."""
    number = file.fileno()
    return in_blocks(os.fstat(number).st_size - skipped, lambda start: os.pread(number, BLOCK, skipped + start))


def in_blocks(size: int, block: Callable[[int], bytes | memoryview]) -> str:
    def hashed(start: int) -> bytes:
        return hashlib.sha256(block(start)).digest()

    starts = range(0, size, BLOCK)
    if len(starts) < 2:
        return hashlib.sha256(b"".join(map(hashed, starts))).hexdigest()
    with ThreadPoolExecutor(THREADS) as pool:
        return hashlib.sha256(b"".join(pool.map(hashed, starts))).hexdigest()


def opened(path: str | Path) -> BinaryIO:
    """The file, open for reading. A pipe or device is refused without waiting for it. Raises DataError."""
    return os.fdopen(descriptor(path), "rb")


def descriptor(path: str | Path) -> int:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise DataError(f"no file {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return number
    os.close(number)
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a folder, not a file")
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a device"
    raise DataError(f"{path} is {kind}, and data are read more than once: put them into a file")


def file_hashes(paths: Sequence[str]) -> list[bytes]:
    """The SHA-256 of each of many files. Raises DataError."""
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(itertools.chain.from_iterable(pool.map(lambda part: [file_hash(path) for path in part], parts)))


def file_hash(path: str) -> bytes:
    """The SHA-256 of a file. Raises DataError."""
    number = descriptor(path)
    try:
        return hash_of(number)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(number)


def hash_of(number: int) -> bytes:
    """The SHA-256 of an open file, from its beginning."""
    found = hashlib.sha256()
    os.lseek(number, 0, os.SEEK_SET)
    while block := os.read(number, 2**18):
        found.update(block)
    return found.digest()


def tensor_digest(tensor: Tensor) -> str:
    """``digest`` of the tensor's numbers, row by row, with its dtype and shape."""
    array = np.ascontiguousarray(tensor.numpy())
    return described(dtype=array.dtype.str, shape=array.shape, content=digest(array.reshape(-1).view(np.uint8).data))


def described(**facts: Any) -> str:
    """One SHA-256, in hex, of some facts by name."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
