"""Runs that cannot outrun their test: they wait with a checkpoint to be killed, or until a signal comes."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.commands import process

# os.rename is what gives a checkpoint its name, once it is written
HOLD = """
import os, select, signal, sys
left = int(os.environ["CHECKPOINTS"])
heard, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell, warn_on_full_buffer=False)  # a byte for each signal, also one that came before the wait
def hold(event, args):
    global left
    if event == "os.rename" and os.fspath(args[1]).endswith("last.ckpt"):
        left -= 1
        while left < 0 and os.path.exists(__file__) and not select.select([heard], [], [], 0.05)[0]:
            pass
sys.addaudithook(hold)
"""


def holding(checkpoints: int, folder: Path) -> dict[str, str]:
    """The environment of Python processes that write ``checkpoints`` times to last.ckpt and wait with the next.

    They go on when they hear a signal that they handle, or when sitecustomize.py is deleted from ``folder``.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOLD)
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "CHECKPOINTS": str(checkpoints)}


def at_work(
    words: tuple[str, ...], run: Path, held: dict[str, str], progress: bool = True, **kwargs: Any
) -> subprocess.Popen[str]:
    """Start ``run`` or go on with it, until it is there or, for ``progress``, has made a checkpoint."""
    last = run / "checkpoints/last.ckpt"
    before = last.stat().st_mtime_ns if last.exists() else 0
    child = process(*words, env=held, **kwargs)
    assert child.stdout and child.stderr
    if not any(line.startswith("run folder") for line in child.stdout):
        raise AssertionError(child.stderr.read())
    while progress and child.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
        time.sleep(0.001)
    return child
