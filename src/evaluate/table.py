"""What ``predict=`` finds, a row a file or a line of text."""

from typing import Any, NamedTuple


class Table(NamedTuple):
    """``rows`` below ``header``, of which the first ``shown`` columns are for the screen; and sentences about them."""

    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    shown: int
    says: list[str]
    notes: list[str]


def calibration(temperature: float | None) -> str:
    """Whether probabilities are calibrated, as part of a sentence."""
    if temperature is None:
        return "not calibrated: this run has no temperature"
    return f"calibrated by the run's temperature, {temperature:.4g}"
