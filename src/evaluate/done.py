"""What a command of evaluate.py found, and how it gets into the run's folder."""

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..config.errors import UserError
from ..folder.folder import RunFolder
from ..plain import Plain
from ..system.files import write_json


class Done(NamedTuple):
    """``report`` becomes a JSON file, with ``files`` (name -> what writes it) beside it; ``lines`` go to the screen."""

    report: Plain
    files: Mapping[str, Callable[[Path], None]]
    lines: list[str]


def write(place: str, name: str, done: Done, folder: RunFolder, result: Plain) -> list[Path]:
    """Write into the folder ``place`` of the run, under a lock; the files, ``name``.json last.

    Raises UserError where the run, whose result.json was ``result``, changed meanwhile.
    """
    home = folder.path / place
    if home.is_symlink():
        raise UserError(f"{home} is a link, and nothing is written through a link: put a folder there")
    home.mkdir(exist_ok=True)
    lock = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.read_result() != result:
            raise UserError(f"{folder.path} was trained anew meanwhile: give the command again")
        for file, writer in done.files.items():
            writer(home / file)
        write_json(home / f"{name}.json", done.report)
    finally:
        os.close(lock)
    return [home / file for file in (*done.files, f"{name}.json")]
