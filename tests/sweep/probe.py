"""Stands in for train.py where a test asks what a job is given: says so, and ends as its first word says."""

import atexit
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def wait() -> None:
    """For ever, but in pieces: a signal that comes as a sleep begins is heard when it ends."""
    while True:
        time.sleep(0.05)


def late() -> None:
    """Work that is left when the script has ended: a thread, a call at exit, and text that was not flushed."""
    atexit.register(print, "at exit", end="")
    threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
    sys.exit(4)


class Undead:
    """Says so when it is freed."""

    def __del__(self, write: Any = os.write) -> None:
        write(1, b"freed\n")


WAYS = {
    "0": lambda: sys.exit(0),
    "3": lambda: sys.exit(3),
    "text": lambda: sys.exit("a text"),
    "raise": lambda: 1 / 0,
    "end": lambda: None,
    "interrupt": lambda: signal.raise_signal(signal.SIGINT),
    "terminate": lambda: signal.raise_signal(signal.SIGTERM),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "abort": os.abort,
    "late": late,
    "undead": lambda: (setattr(json, "undead", Undead()), sys.exit(3)),
    "wait": wait,
}


def main(words: list[str], composed: Any = None) -> None:
    print(
        json.dumps(
            {
                "words": words,
                "path": sys.path,
                "folder": str(Path.cwd()),
                "environment": {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
                "parent": os.getppid(),
                "session of its own": os.getsid(0) == os.getpid(),
                "input": str(Path("/proc/self/fd/0").readlink()),
                "files": sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())[
                    :-1
                ],  # but for this very listing
                "handlers": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
                "mask": [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
                "threads": threading.active_count(),
            }
        ),
        flush=True,
    )
    print("on stderr", file=sys.stderr)
    WAYS[words[1]]()
