"""What a command says at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.errors import printable
from ..folder.folder import RunFolder
from ..folder.links import how_to_look
from ..metrics.columns import Family
from ..plain import Plain


def side_by_side(splits: Mapping[str, Plain], family: Family) -> str:
    """Metrics in two columns, title -> name -> value, with their units; the first says which metrics.

    What a run does not have, as the nll of a loss without probabilities, is —.
    """
    first, *rest = splits.values()
    lines = ["{:20}{:>12}{:>14}".format("", *splits)]
    for name in first:
        cells = (_cell(split[name]) if name in split else "" for split in (first, *rest))
        lines.append("{:20}{:>12}{:>14}  {}".format(name, *cells, family.column(name).unit).rstrip())
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
    """The table, the run's folder, and how to look at its curves beside those of the runs next to it."""
    splits = {"test": result["metrics"]["test"], "validation": result["metrics"]["val"]}
    table = side_by_side(splits, RunFolder(folder).measured(result))
    lines = ["", table, "", *(f"note: {note}" for note in result["notes"]), f"run folder: {folder}"]
    if "tensorboard" in logger:
        lines.append(how_to_look(folder.parents[1]))
    return printable("\n".join(lines))
