"""What a command says at its end."""

import shlex
from pathlib import Path
from typing import Any

UNITS = {"nll": "nats", "bits": "bits", "bits_per_char": "bits"}


def table(result: dict[str, Any]) -> str:
    """Test and validation metrics side by side; — where a loss gives no probabilities."""
    test, val = result["metrics"]["test"], result["metrics"]["val"]
    lines = [f"{'':20}{'test':>12}{'validation':>14}"]
    for name in test:
        cells = (_cell(split[name]) if name in split else "" for split in (test, val))
        lines.append("{:20}{:>12}{:>14}  {}".format(name, *cells, UNITS.get(name, "")).rstrip())
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}"


def ending(folder: Path, result: dict[str, Any], logger: str) -> str:
    """The table, the run's folder, and how to look at it."""
    lines = ["", table(result), "", *(f"note: {note}" for note in result["notes"]), f"run folder: {folder}"]
    if logger == "tensorboard":
        one, everything = (shlex.quote(str(path)) for path in (folder, folder.parents[2]))
        lines.append(f"curves:     tensorboard --logdir {one}   (all runs: --logdir {everything})")
    return "\n".join(lines)
