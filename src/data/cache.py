"""Tensors made of a user's files once and kept: a safetensors file, written whole, read through a memory map."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor

from ..plain import Plain
from ..system.files import written_whole
from .base import DataError
from .content import described, opened, tensor_digest

Shapes = dict[str, tuple[str, tuple[int, ...]]]  # name, dtype, shape
DTYPES = {"U8": np.uint8, "I16": np.int16, "I32": np.int32, "I64": np.int64}
NO_DIGEST = "0" * 64
LONGEST_HEADER = 2**26  # bytes; an alphabet of all of Unicode takes 15 million
log = logging.getLogger("xent")


class Kept(NamedTuple):
    """What a file holds."""

    tensors: dict[str, Tensor]  # in memory that is the file itself: not to be written to
    about: dict[str, str]  # its metadata
    digests: dict[str, str]  # of each tensor


def kept(kind: str, place: str, state: str, make: Callable[[Path], None]) -> Kept:
    """What is kept for ``place``; ``make`` calls ``write`` where there is none whose metadata have this ``state``.

    It is below $XDG_CACHE_HOME/xent (~/.cache/xent), or, where nothing can be written there, below the system's
    temporary folder. One process makes it, others wait. What is damaged, or could have been written by another user, is
    made anew. Raises DataError where it cannot be written.
    """
    name = f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.safetensors"
    targets = [folder / kind / name for folder in folders()]
    for target in targets:
        if found := whole(target, state):
            return found
    with first_locked(targets) as chosen:
        try:
            if chosen and (found := whole(chosen, state)):
                return found
            if chosen:
                make(chosen)
                if found := whole(chosen, state, checked=False):
                    return found
                raise DataError(f"{chosen} was changed while it was written: run again")
        except OSError as error:
            assert chosen
            raise DataError(
                f"{chosen.parent} takes no more ({error.strerror}): make room there, or name another folder by the"
                " environment variable XDG_CACHE_HOME"
            ) from error
    there = " and ".join(str(target.parent) for target in targets) or "what another user made"
    raise DataError(f"{there} cannot be written: name a folder by the environment variable XDG_CACHE_HOME")


def folders() -> list[Path]:
    """Where files are kept, best first. What another user made, or may write to, is left out."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))  # a relative one is invalid, says its specification
    home = named if named.is_absolute() else Path(os.path.expanduser("~/.cache"))  # noqa: PTH111  there may be no home
    spare = Path(tempfile.gettempdir(), f"xent-{os.getuid()}")
    return [path for path in (home / "xent", spare) if path.is_absolute() and own(path)]


def own(path: Path) -> bool:
    """Whether only this user can have written what is there, if anything is."""
    try:
        stat = path.lstat()
    except OSError as error:
        return not isinstance(error, PermissionError)
    return stat.st_uid == os.getuid() and not stat.st_mode & 0o022


@contextlib.contextmanager
def first_locked(targets: Iterable[Path]) -> Iterator[Path | None]:
    """The first of ``targets`` that can be written, for this process only; None where none can.

    Folders that are made for it go again unless something is in them.
    """
    for target in targets:
        new = [folder for folder in target.parents if not folder.exists()]
        try:
            lock = locked(target)
        except OSError:
            continue
        with lock:
            try:
                yield target
            finally:
                Path(lock.name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    for folder in new:
                        folder.rmdir()
        return
    yield None


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


def write(target: Path, shapes: Shapes, about: dict[str, str], parts: Iterable[bytes | memoryview]) -> None:
    """Write a file whole: the bytes of its tensors, in order, and their digests. Raises OSError, and what parts do."""
    sizes = [math.prod(shape) * np.dtype(DTYPES[code]).itemsize for code, shape in shapes.values()]
    check_room(target, sum(sizes))
    with written_whole(target) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(header(shapes, sealed(about, dict.fromkeys(shapes, NO_DIGEST))))
        for part in parts:
            file.write(part)
        file.flush()
        tensors = mapped(file, shapes, file.tell() - sum(sizes))
        digests = {name: tensor_digest(tensor) for name, tensor in tensors.items()}
        file.seek(0)
        file.write(header(shapes, sealed(about, digests)))  # of the same length


def sealed(about: dict[str, str], digests: dict[str, str]) -> dict[str, str]:
    """Metadata with the tensors' digests and one of all of it."""
    about = about | {"digests": json.dumps(digests)}
    return about | {"seal": described(**about)}


def whole(path: Path, state: str, checked: bool = True) -> Kept | None:
    """What a file holds; None unless it is there, whole, as it was written, by this user, and of this state."""
    try:
        shapes, about, start = read_header(path)
        if about["state"] != state:
            return None
        tensors, digests = mapped(path, shapes, start), json.loads(about["digests"])
        rest = {key: value for key, value in about.items() if key not in ("digests", "seal")}
        found = {name: tensor_digest(tensor) for name, tensor in tensors.items()} if checked else digests
        if sealed(rest, found) != about:
            raise ValueError("its content is not what was written")
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        log.warning("%s is damaged (%s): it is made anew", path, error)
        return None
    return Kept(tensors, about, digests)


def read_header(path: Path) -> tuple[Shapes, dict[str, str], int]:
    """Dtypes and shapes, metadata, and where the tensors begin. Raises OSError or, unless it is one of ours, others."""
    path.lstat()
    with opened(path) as file:  # which does not wait for a pipe
        if not own(path):
            raise ValueError("another user may have written it")
        size = os.fstat(file.fileno()).st_size
        start = 8 + int.from_bytes(file.read(8), "little")
        if start > min(size, LONGEST_HEADER):
            raise ValueError("it is cut off")
        file.seek(0)
        raw = file.read(start)
    entries = json.loads(raw[8:])
    about = entries.pop("__metadata__")
    shapes = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
    if header(shapes, about) != raw or max(entry["data_offsets"][1] for entry in entries.values()) != size - start:
        raise ValueError("its header is none of ours, or it is cut off")
    return shapes, about, start


def mapped(file: Path | BinaryIO, shapes: Shapes, start: int) -> dict[str, Tensor]:
    """A file's tensors, which begin at byte ``start``, in memory that is the file itself: not to be written to.

    A read-only map, for the system counts a private one, as safetensors and ``torch.from_file`` make it, against the
    memory that there is.
    """
    tensors = {}
    for name, (code, shape) in shapes.items():
        array = np.memmap(file, DTYPES[code], "r", start, shape)
        tensors[name] = read_only(array)
        start += array.nbytes
    return tensors


def read_only(array: np.ndarray) -> Tensor:
    """The array as a tensor of the same memory, not to be written to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch knows no such tensors
        return torch.from_numpy(array)
