"""What a command says at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.errors import printable
from ..folder.links import how_to_look

Plain = dict[str, Any]

UNITS = {"nll": "nats", "bits": "bits", "bits_per_char": "bits"}


def table(result: dict[str, Any]) -> str:
    """Test and validation metrics side by side; — where a loss gives no probabilities."""
    return side_by_side({"test": result["metrics"]["test"], "validation": result["metrics"]["val"]})


def side_by_side(columns: Mapping[str, Plain]) -> str:
    """Metrics in two columns, title -> name -> value; the first says which metrics."""
    first, *rest = columns.values()
    lines = ["{:20}{:>12}{:>14}".format("", *columns)]
    for name in first:
        cells = (_cell(column[name]) if name in column else "" for column in (first, *rest))
        lines.append("{:20}{:>12}{:>14}  {}".format(name, *cells, UNITS.get(name, "")).rstrip())
    return "\n".join(lines)


def shift_table(rows: Sequence[Plain]) -> str:
    """Metrics by corruption and severity."""
    kind, severity, *names = rows[0]
    lines = [f"{kind:12}{severity:>8}" + "".join(f"{name:>12}" for name in names)]
    for row in rows:
        lines.append(f"{row[kind]:12}{row[severity]:>8}" + "".join(f"{_cell(row[name]):>12}" for name in names))
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"


def ending(folder: Path, result: dict[str, Any], logger: str | Sequence[str]) -> str:
    """The table, the run's folder, and how to look at its curves beside those of its family."""
    lines = ["", table(result), "", *(f"note: {note}" for note in result["notes"]), f"run folder: {folder}"]
    if "tensorboard" in logger:
        lines.append(how_to_look(folder.parents[1]))
    return printable("\n".join(lines))
