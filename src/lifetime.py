"""Processes that this one starts: of this very tree, and ended when the one that started them ends, however it does."""

import ctypes
import os
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

ROOT = Path(__file__).resolve().parents[1]
# -P keeps the current folder off the path: a package src there, or a module torch, is somebody else's
START = "import sys, importlib as i; sys.path.insert(0, sys.argv[1]); i.import_module(sys.argv[2]).main(sys.argv[3:])"


def running(module: str, *words: str) -> list[str]:
    """The command of a process that calls ``main(words)`` of a module of this tree, in whatever folder it starts."""
    return [sys.executable, "-P", "-c", START, str(ROOT), module, *words]


def lead_here(environment: MutableMapping[str, str]) -> None:
    """Have the Python processes of an environment import from this tree, and not from the folder where they start.

    For those that others start, by ``-m`` of a module of their own.
    """
    environment["PYTHONSAFEPATH"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; end at once if ``parent`` is that no more.

    Linux only; elsewhere it runs on. The kernel keeps to the parent's thread: children are started by its main thread.
    """
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def adopt_orphans() -> bool:
    """Make this process the parent of those below it whose own parent ends; whether the system can do that."""
    return LIBC is not None and LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
