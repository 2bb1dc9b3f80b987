"""What data are, whatever their place, names and times: hashes of their content."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from src.data.base import DataError

BLOCK = 2**22  # bytes that one thread hashes at a time
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


def opened(path: Path) -> BinaryIO:
    """The file, open for reading. A pipe or device is refused without waiting for it. Raises DataError."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(number, "rb")
    os.close(number)
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    raise DataError(f"{path} is {kind}, and data are read more than once: put them into a file")


def tensor_digest(tensor: Tensor) -> str:
    """``digest`` of the tensor's numbers, row by row, with its dtype and shape."""
    array = np.ascontiguousarray(tensor.numpy())
    return described(dtype=array.dtype.str, shape=array.shape, content=digest(array.reshape(-1).view(np.uint8).data))


def described(**facts: Any) -> str:
    """One SHA-256, in hex, of some facts by name."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
