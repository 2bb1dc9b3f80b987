"""Lines for the user on stdout and in train.log."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send the project's log and all warnings to stdout and, with times, to ``path``; hush Lightning's chatter."""
    log = logging.getLogger("xent")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    screen, file = logging.StreamHandler(sys.stdout), logging.FileHandler(path)
    screen.setLevel(logging.DEBUG if os.environ.get("XENT_DEBUG") == "1" else logging.INFO)
    screen.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    handlers = (screen, file)
    for handler in handlers:
        log.addHandler(handler)
    before = warnings.showwarning
    warnings.showwarning = lambda message, category, *rest: log.debug("%s: %s", category.__name__, message)
    try:
        yield
    finally:
        warnings.showwarning = before
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
