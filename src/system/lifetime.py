"""Processes that this one starts: of this very package, and ended when their parent ends, however it does."""

import ctypes
import os
import signal
import sys
from collections.abc import MutableMapping

from ..names import NAME, STORED
from ..package import FOLDER

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

# What a started process does first. The package is loaded from its folder, and -P keeps the current folder off the
# path: a package src or xent there, or a module torch, is somebody else's.
START = """
import importlib, importlib.util, sys
_, root, folder, name, module, *words = sys.argv
sys.path[:0] = [root] if root else []
spec = importlib.util.spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
importlib.import_module(module, name).main(words)
"""
ROOT = str(FOLDER.parent) if NAME == STORED else ""  # what else lies beside the tree's scripts can be imported as well


def running(module: str, *words: str) -> list[str]:
    """The command of a process that calls ``main(words)`` of a module, in whatever folder it starts.

    ``module`` is ".sweep.start" for one of this package.
    """
    return [sys.executable, "-P", "-c", START, ROOT, str(FOLDER), NAME, module, *words]


def lead_here(environment: MutableMapping[str, str]) -> None:
    """Have the Python processes of an environment import this package, and nothing from the folder where they start.

    For those that others start, by ``-m`` of a module of their own. An installed package is on their path already.
    """
    environment["PYTHONSAFEPATH"] = "1"
    if ROOT:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, environment.get("PYTHONPATH")]))


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
