"""Lines for the user on stdout and in train.log."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


class Screen(logging.StreamHandler[TextIO]):
    """stdout, until whoever reads it has gone (``| head``): the run and its log go on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            logging.getLogger("xent").removeHandler(self)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the interpreter's last flush fail
        else:
            super().handleError(record)


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
