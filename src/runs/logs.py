"""Lines for the user on stdout and in train.log."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from ..config.guard import discard_output


class Screen(logging.StreamHandler[TextIO]):
    """stdout, above a progress bar, until whoever reads it has gone (``| head``) or its disk is full.

    The run and its log continue.
    """

    def emit(self, record: logging.LogRecord) -> None:
        with tqdm.external_write_mode(file=sys.stdout):  # or a line would begin in the middle of the bar
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.setLevel(logging.CRITICAL + 1)  # not removed: logging would pass over the handler that comes next
        discard_output()  # nor may the interpreter's last flush fail
        if not isinstance(error, BrokenPipeError):
            said = f"xent: nothing more can be shown ({error.strerror}); the run goes on, and train.log has its lines"
            with suppress(OSError):
                print(said, file=sys.stderr, flush=True)


class LogFile(logging.FileHandler):
    """train.log, until the disk is full: the run itself says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path, level: int = logging.INFO) -> Iterator[None]:
    """Send the project's log, from ``level`` on, to stdout, and all of it, with times and warnings, to ``path``.

    Lightning's chatter is hushed.
    """
    log = logging.getLogger("xent")
    screen, file = Screen(sys.stdout), LogFile(path, encoding="utf-8", errors="backslashreplace")
    screen.setLevel(logging.DEBUG if os.environ.get("XENT_DEBUG") == "1" else level)
    screen.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers = (screen, file)
    for handler in handlers:
        log.addHandler(handler)
    try:
        with hushed():
            yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


@contextmanager
def hushed() -> Iterator[None]:
    """Keep Lightning's chatter off the screen; warnings go to the project's log."""
    log = logging.getLogger("xent")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    before = warnings.showwarning
    warnings.showwarning = lambda message, category, *rest: log.debug("%s: %s", category.__name__, message)
    try:
        yield
    finally:
        warnings.showwarning = before
