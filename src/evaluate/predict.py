"""Classes and calibrated probabilities of new images; how well a language run knows each line of a new text."""

import contextlib
import csv
import io
from pathlib import Path
from typing import Any

import torch

from ..report import escape
from ..runs.trained import Trained
from ..system.files import write_text
from . import images, lines
from .done import Done
from .table import Table

SHOWN = 5  # rows on the screen
BATCH = 256  # of data whose class has no eval_batch_size


def predict(place: Path, run: Trained, precision: str, name: str) -> Done:
    """What the run says of the images below ``place``, or of that text. Raises UserError and DataError.

    In the precision and in batches of the run's own test: the same images give the same numbers.
    """
    batch = run.config["data"].get("eval_batch_size", BATCH)
    tell = lines.score if run.spec.kind == "text" else images.classify
    with torch.no_grad(), autocast(precision, next(run.parameters()).device.type):
        table = tell(place, run, batch)
    report = {
        "predicted": str(place),
        "rows": len(table.rows),
        "temperature": {"value": run.temperature, "is": "the run's"},
        "notes": table.notes,
    }
    files = {f"{name}.csv": lambda path: write_csv(path, table)}
    return Done(report, files, [*first_rows(table), "", *table.says, *(f"note: {note}" for note in table.notes)])


def autocast(precision: str, device: str) -> contextlib.AbstractContextManager[Any]:
    """The context of a run's forward pass, as Lightning sets it."""
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    return torch.autocast(device, kinds[precision]) if precision in kinds else contextlib.nullcontext()


def write_csv(path: Path, table: Table) -> None:
    """All of it; text in quotes, whatever is in it, numbers with the nine digits of float32."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(table.header)
    for row in table.rows:
        writer.writerow(float(f"{cell:.9g}") if isinstance(cell, float) else cell for cell in row)
    write_text(path, text.getvalue())


def first_rows(table: Table) -> list[str]:
    """The first rows of the columns that a line of a terminal has room for."""
    chosen = [table.header[: table.shown], *(row[: table.shown] for row in table.rows[:SHOWN])]
    cells = [[shown(cell) for cell in row] for row in chosen]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [isinstance(cell, int | float) for cell in table.rows[0][: table.shown]]
    lines = [
        "  ".join(
            cell.rjust(w) if n else cell.ljust(w) for cell, w, n in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    more = len(table.rows) - SHOWN
    return [*lines, *([f"... and {more:,} more"] if more > 0 else [])]


def shown(cell: Any) -> str:
    text = f"{cell:.4f}" if isinstance(cell, float) else escape.line(cell)
    return text if len(text) <= 40 else f"...{text[-37:]}"
