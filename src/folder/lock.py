"""A lock on a folder, which keeps a second writer out."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..config.errors import UserError

LOCK = ".lock"


@contextlib.contextmanager
def held(path: Path, busy: str) -> Iterator[int]:
    """Make the folder ``path`` and hold it alone, until the process dies at the latest; the lock's file descriptor.

    A folder that was made for this and stays empty goes again. Raises UserError: ``busy``, or why it cannot be held.
    """
    try:
        new = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
        path.mkdir(parents=True, exist_ok=True)
        # a pipe under this name is not waited for, and what a link leads to is not made
        number = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise UserError(f"runs: {path} cannot be made or locked: {error.strerror}") from None
    try:
        _lock(number, path, busy)
        yield number
    finally:
        if path in new:
            with contextlib.suppress(OSError):  # it is used by now, or gone
                if os.listdir(path) == [LOCK]:  # noqa: PTH208
                    (path / LOCK).unlink()
                    for folder in new:
                        folder.rmdir()
        os.close(number)


def _lock(number: int, path: Path, busy: str) -> None:
    if not stat.S_ISREG(os.fstat(number).st_mode):
        raise UserError(f"runs: {path} cannot be locked: {path / LOCK} is no file")
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(busy) from None
    except OSError as error:
        raise UserError(
            f"runs: the file system of {path} has no locks ({error.strerror}), so that two processes could write one"
            " run: name a folder on another one, runs=FOLDER"
        ) from None
    if not is_file_of(number, path / LOCK):
        raise UserError(busy)  # whoever held it has removed it just now


def is_file_of(number: int, path: Path) -> bool:
    """Whether the open file is, still, what has the name ``path``."""
    try:
        return os.path.samestat(os.fstat(number), path.lstat())
    except OSError:
        return False


def is_held(path: Path) -> bool:
    """Whether a process holds the folder ``path``, or may do so: a lock that cannot be read tells nothing."""
    try:
        number = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no locks on this file system: there, nobody holds one
    finally:
        os.close(number)
    return False
