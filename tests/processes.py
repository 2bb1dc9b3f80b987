"""Waiting for what processes do, however slow the machine."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Until ``condition`` holds; ``seconds`` only end what hangs."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def running(folder: Path) -> list[int]:
    """The jobs of sweeps whose TMPDIR is ``folder``: they write to files there that have no name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            target = str(path.readlink())
            if target.startswith(f"{folder}/") and target.endswith(" (deleted)"):
                found.append(int(path.parts[2]))
    return sorted(found)
