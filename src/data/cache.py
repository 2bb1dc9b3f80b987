"""Tensors made of a user's files once and kept: a safetensors file, written whole, read through a memory map."""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from src.data.base import DataError

Plain = dict[str, Any]
Shapes = dict[str, tuple[str, tuple[int, ...]]]  # name, dtype, shape
DTYPES = {"U8": np.uint8, "I16": np.int16, "I32": np.int32, "I64": np.int64}


def kept(kind: str, place: str, state: str, make: Callable[[Path], None]) -> Path:
    """The file that is kept for ``place``; ``make`` writes it where there is none whose metadata have this ``state``.

    It is below $XDG_CACHE_HOME/xent (~/.cache/xent), or, where nothing can be written there, below the system's
    temporary folder. One process makes it, others wait. Raises DataError where it cannot be written.
    """
    name = f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.safetensors"
    targets = [folder / kind / name for folder in folders()]
    for target in targets:
        if metadata(target).get("state") == state:
            return target
    for target in targets:
        new = [folder for folder in target.parents if not folder.exists()]
        try:
            lock = locked(target)
        except OSError:
            continue
        with lock:
            try:
                if metadata(target).get("state") != state:
                    make(target)
            except OSError as error:
                raise DataError(
                    f"{target.parent} takes no more ({error.strerror}): make room there, or name another folder by the"
                    " environment variable XDG_CACHE_HOME"
                ) from error
            finally:
                Path(lock.name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # they go again unless something is in them
                    for folder in new:
                        folder.rmdir()
        return target
    there = " and ".join(str(target.parent) for target in targets)
    raise DataError(f"{there} cannot be written: name a folder by the environment variable XDG_CACHE_HOME")


def folders() -> list[Path]:
    """Where files are kept, best first."""
    home = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")  # noqa: PTH111  where there is no home
    spare = Path(tempfile.gettempdir(), f"xent-{os.getuid()}")
    trusted = not spare.exists() or spare.lstat().st_uid == os.getuid()  # anybody could have made it
    return [Path(home, "xent"), *([spare] if trusted else [])]


def locked(target: Path) -> TextIO:
    """Make the folder of ``target`` and wait until no other process makes the file; the lock, held. Raises OSError."""
    path = target.with_suffix(".lock")
    while True:
        target.parents[1].mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # who held the lock has removed it and its folders just now
            target.parent.mkdir(exist_ok=True)
            file = path.open("a")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            file.close()


def check_room(target: Path, size: int) -> None:
    """Raise OSError where so many bytes have no room beside ``target``."""
    room = shutil.disk_usage(target.parent).free
    if room < size:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB are needed, {room / 1e9:.1f} GB are free")


def header(tensors: Shapes, about: dict[str, str]) -> bytes:
    """What precedes the bytes of ``tensors`` (dtype and shape, in their order) in a safetensors file.

    Source: the format's specification, https://github.com/huggingface/safetensors. The library itself writes tensors
    that are in memory; these need not be.
    """
    entries: Plain = {"__metadata__": about}
    end = 0
    for name, (code, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * np.dtype(DTYPES[code]).itemsize
        entries[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # so that what follows is aligned
    return len(text).to_bytes(8, "little") + text


def metadata(path: Path) -> dict[str, str]:
    """The file's metadata; {} where there is no whole one."""
    return entries_of(path)[0].get("__metadata__", {})


def entries_of(path: Path) -> tuple[Plain, int]:
    """The file's header, and where its tensors begin; {} where there is no whole file."""
    try:
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(start - 8)) if start <= path.stat().st_size else {}
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError):
        return {}, 0
    return (entries, start) if ends and path.stat().st_size == start + max(ends) else ({}, 0)


def mapped(path: Path) -> dict[str, Tensor]:
    """The file's tensors, in memory that is the file itself: not to be written to.

    A read-only map, for the system counts a private one, as safetensors and ``torch.from_file`` make it, against the
    memory that there is.
    """
    entries, start = entries_of(path)
    tensors = {}
    for name, entry in entries.items():
        if name == "__metadata__":
            continue
        offset, dtype = start + entry["data_offsets"][0], DTYPES[entry["dtype"]]
        tensors[name] = read_only(np.memmap(path, dtype, "r", offset, tuple(entry["shape"])))
    return tensors


def read_only(array: np.ndarray) -> Tensor:
    """The array as a tensor of the same memory, not to be written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch knows no such tensors
        return torch.from_numpy(array)
