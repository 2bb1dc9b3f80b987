"""What lies in folders of runs, a line each, newest first: ``report.py --list``."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import escape
from .read import Run, find_runs
from .words import DASH, number

HEADER = ("age", "status", "metric", "val", "test", "what", "folder")
WHAT = 24  # characters of the column "what", at most; the folder takes what is left of the line
LEAST = 20  # of the folder
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def listing(folders: Sequence[Path], width: int | None) -> Iterator[str]:
    """The lines, none longer than ``width`` if that is given; what is no result has its reason on a second line.

    Raises UserError where there are no runs.
    """
    now = time.time()
    runs = sorted(find_runs(folders, values=False), key=lambda run: -touched(run))
    rows = [HEADER, *(_row(run, now) for run in runs)]
    wide = [max(len(row[i]) for row in rows) for i in range(len(HEADER) - 1)]
    wide[4] = min(wide[4], WHAT)
    left = max(LEAST, width - sum(wide) - 2 * len(wide)) if width else math.inf
    for row, run in zip(rows, [None, *runs], strict=True):
        cells = [f"{cut(cell, size):<{size}}" for cell, size in zip(row, wide, strict=False)]
        yield cut("  ".join([*cells, cut(row[-1], left)]).rstrip(), width or math.inf)
        if run is not None and (why := reason(run)):
            yield cut(f"{' ' * (wide[0] + 2)}{why}", width or math.inf, middle=False)


def _row(run: Run, now: float) -> tuple[str, ...]:
    loss = run.label or (str(run.choices["loss"]) if run.config else "")
    seed = "" if run.seed is None else f" seed {run.seed}"
    cells = (age(now - touched(run)), run.status, *_measured(run), f"{loss}{seed}".strip() or DASH, str(run.folder))
    return tuple(escape.line(cell) for cell in cells)


def _measured(run: Run) -> tuple[str, str, str]:
    """The metric by which its family chooses among runs, and its values on validation and test."""
    if run.status != "finished" or (chosen := run.family.choice(run.result["metrics"]["val"])) is None:
        return DASH, DASH, DASH
    column, value = chosen
    test = run.metric("test", column.name)
    return column.name, number(value), DASH if test is None else number(test)


def reason(run: Run) -> str:
    """Why it is not among the results."""
    parts = [f"for debugging: {run.debugging}" if run.debugging else "", run.note]
    return escape.line("; ".join(part for part in parts if part))


def touched(run: Run) -> float:
    """When something in the run's folder was last written, in seconds since 1970; 0 where there is no run."""
    return max((_written(run.folder / name) for name in ("result.json", "metrics.csv", "config.yaml")), default=0.0)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def age(seconds: float) -> str:
    """ "3 h": in the largest unit of which there is one; — where it is not known."""
    if seconds > 1e9:
        return DASH
    return next((f"{int(seconds // size)} {unit}" for size, unit in UNITS if seconds >= size), "now")


def cut(text: str, width: float, *, middle: bool = True) -> str:
    """``text``, with … for its middle (or its end) where it is longer than ``width``."""
    if len(text) <= width:
        return text
    keep = int(width) - 1
    return f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}" if middle else f"{text[:keep]}…"
