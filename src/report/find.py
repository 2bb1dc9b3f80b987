"""Where runs lie in and below some folders."""

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..config.errors import UserError

MARKS = ("config.yaml", "result.json", "sweep.yaml")
SYSTEM = (
    "/proc",
    "/sys",
    "/dev",
)  # file systems of which nothing is on a disk: a link there leads through all processes
DEEPEST, MOST = 32, 200_000  # folders in each other, and in all: an end to what has none


class Found(NamedTuple):
    """``marks``: a config.yaml or result.json for each run's folder, and each sweep.yaml. ``unseen``: folders that were
    not looked into, and why."""

    marks: list[Path]
    unseen: dict[Path, str]


def search(folders: Sequence[Path]) -> Found:
    """Links are followed and each folder is entered once, by its own name if that lies below ``folders``; nothing is
    looked for in a run's folder. Raises UserError where there is no such folder, or no end."""
    found, entered = Found([], {}), set()
    virtual = {Path(place).stat().st_dev for place in SYSTEM if os.path.ismount(place)}
    own, linked = deque((folder, 0) for folder in folders), deque[tuple[Path, int]]()
    while own or linked:
        folder, depth = (own or linked).popleft()
        try:
            status, entries = folder.stat(), sorted(os.scandir(folder), key=lambda entry: entry.name)
            inside = [entry for entry in entries if entry.is_dir()]
        except NotADirectoryError:
            raise UserError(f"{folder} is no folder") from None
        except OSError as error:
            if not depth:
                raise UserError(f"{folder} is no folder: {error.strerror}") from None
            found.unseen[folder] = f"it cannot be read ({error.strerror})"
            continue
        if (place := (status.st_dev, status.st_ino)) in entered:
            continue
        entered.add(place)
        if status.st_dev in virtual:
            found.unseen[folder] = "it is of the system, not of a disk"
            continue
        if len(entered) > MOST:
            raise UserError(f"more than {MOST:,} folders in {', '.join(map(str, folders))}: name those of the runs")
        mark = next((name for name in MARKS if any(name == e.name and e not in inside for e in entries)), None)
        found.marks.extend([folder / mark] if mark else [])
        if mark in ("config.yaml", "result.json"):
            continue
        if depth == DEEPEST and inside:
            found.unseen[folder] = f"more than {DEEPEST} folders lie in each other there"
            continue
        for entry in inside:
            (linked if entry.is_symlink() else own).append((folder / entry.name, depth + 1))
    return found
