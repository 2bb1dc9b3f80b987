"""How losses stand under shift: what ``evaluate.py RUN shift=...`` left in runs' folders, a line for each loss."""

from collections.abc import Sequence
from statistics import fmean

from ..folder.sums import sums_of
from ..metrics.columns import Family
from ..plain import Plain
from ..system.files import DamagedError, read_json
from . import schema
from .compare import Comparison
from .figures import Curve
from .groups import Group
from .read import Run, checked, reason
from .table import Shown, Table
from .words import DASH, number

Condition = tuple[str, int]  # kind of shift and severity; 0 is the test set as it is
MOST = 100  # files of a run
CLEAN = "clean"
PLACE = {"shift": schema.text, "severity": schema.whole(0)}  # of a row


def evaluation(family: Family) -> schema.Rule:
    """What an evaluation under shift holds."""
    values = {column.name: schema.maybe(schema.number(*schema.bounds(column))) for column in family.columns}
    rows = schema.sequence(schema.mapping(PLACE, values, schema.maybe(schema.finite)))
    return schema.mapping({"weights_sha256": schema.text, "data": schema.settings}, {"shift": rows})


def read_shifts(run: Run) -> dict[Condition, Plain]:
    """What was measured on the run's own data with the weights that it has now. Raises DamagedError."""
    found: dict[Condition, Plain] = {}
    weights = sums_of(run.result).get("weights.safetensors")
    for path in sorted((run.folder / "evaluations").glob("shift*.json"))[:MOST]:
        content = read_json(path)
        checked(path, evaluation(run.family), content)
        if content["data"] == run.config["data"] and weights in (None, content["weights_sha256"]):
            found |= {(row["shift"], row["severity"]): row for row in content.get("shift", [])}
    return found


class Shifts:
    """The section's runs under those shifts that all of them, as far as they were evaluated, were tested with.

    A value is a mean over kinds of shift, then over seeds. ``notes``: what could not be read.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.notes: list[str] = []
        self.groups, self.charts = comparison.groups, comparison.section.family.charts
        self.read = {id(run): self._read(run) for group in self.groups for run in group.finished.values()}
        tested = [set(found) for found in self.read.values() if found]
        common = set.intersection(*tested) if tested else set()
        self.kinds = sorted({kind for kind, severity in common if severity})
        self.severities = sorted(
            {severity for _, severity in common if all((kind, severity) in common for kind in self.kinds)} - {0}
        )
        if not self.severities:
            self.kinds = []

    def _read(self, run: Run) -> dict[Condition, Plain]:
        try:
            return read_shifts(run)
        except (OSError, DamagedError) as error:
            self.notes.append(f"{run.folder}: {reason(error)}")
            return {}

    def values(self, group: Group, name: str) -> list[list[float]]:
        """Of each seed, clean and at each severity; no row of a seed that was not evaluated or has no such metric."""
        table = []
        for run in group.finished.values():
            found = self.read[id(run)]
            by_severity = [[(CLEAN, 0)], *([(kind, s) for kind in self.kinds] for s in self.severities)]
            cells = [[found[place].get(name) for place in places if place in found] for places in by_severity]
            if self.kinds and found and all(row and None not in row for row in cells):
                table.append([fmean(value for value in row if value is not None) for row in cells])
        return table

    def curves(self, name: str, labels: Sequence[str]) -> dict[str, Curve]:
        """Label -> the metric by severity."""
        found = {group.label: self.values(group, name) for group in self.groups if group.label in labels}
        steps = [0, *self.severities]
        return {
            label: Curve(steps, *([f(column) for column in zip(*table, strict=True)] for f in (fmean, min, max)))
            for label, table in found.items()
            if table
        }

    def names(self) -> list[str]:
        """The metrics of the family's charts that the evaluations have, in their order."""
        return [name for name in self.charts if any(self.values(group, name) for group in self.groups)]

    def tables(self) -> list[Table]:
        """One for each metric: a row for each loss, a column for each severity."""
        found = []
        for name in self.names():
            table = Table(f"{name} under shift", ["loss", "seeds", CLEAN, *map(str, self.severities)])
            for group in self.groups:
                values, of = self.values(group, name), len(group.finished)
                means = [number(fmean(column)) for column in zip(*values, strict=True)] if values else []
                seeds = str(len(values)) if len(values) == of else f"{len(values)} of {of}"
                cells = means or [DASH] * (len(self.severities) + 1)
                table.rows.append([Shown(text) for text in (group.label, seeds, *cells)])
            found.append(table)
        return found
