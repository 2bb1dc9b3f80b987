"""The report's tables of the runs themselves: their own values, learning rates, cost, settings, dates and versions."""

import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any
from urllib.parse import quote

from .compare import Comparison
from .groups import Group, Section, short, validation
from .read import SPEED, Run
from .table import Shown, Table, telling
from .words import DASH, listed, number

MACHINE = ("device", "threads")


def runs(comparison: Comparison, out: Path) -> Table:
    """A row for each finished run, with what it measured itself and a link to its folder from ``out``."""
    section, names = comparison.section, [metric.name for metric in comparison.judged]
    table = Table("Each run", ["loss", "seed", "lr", *names, "finished", "seconds", "tags", "note"])
    for group in [*comparison.groups, *(group for group in section.passed_over if group.finished)]:
        for seed, run in sorted(group.finished.items()):
            values = [run.metric("test", name) for name in names]
            texts = [DASH if value is None else number(value) for value in values]
            seconds = number(run.result["run"]["seconds"], 1)
            own = [Shown(group.label), Shown(str(seed), link=address(run.folder, out)), Shown(_lr(group.lr))]
            rest = [*texts, date(run.ended), seconds, ", ".join(run.tags), run.remark]
            table.rows.append([*own, *map(Shown, rest)])
    return telling(table, keep=2)


def seeds(comparison: Comparison) -> str:
    """How many seeds each loss has, where it is the same for all; else "", and the table has a column of it."""
    found = {len(group.finished) for group in comparison.groups}
    return f"{(n := found.pop())} seed{'s' * (n > 1)} of each loss." if len(found) == 1 else ""


def remarks(runs: Sequence[Run]) -> list[str]:
    """The note and the tags that all runs share; others stand in the table of the runs."""
    notes, tags = {run.remark for run in runs}, {", ".join(run.tags) for run in runs}
    told = [f"Note: {note}" for note in notes if note and len(notes) == 1]
    return told + [f"Tags: {tag}" for tag in tags if tag and len(tags) == 1]


def address(folder: Path, out: Path) -> str:
    """Of a folder, for a page in ``out``; both can be moved together. With a dot before it, it is always a path."""
    path = os.path.relpath(folder.resolve(), out.resolve())
    return quote(os.fsencode(path if path.startswith("..") else f"./{path}"))


def date(seconds: float) -> str:
    """Of a time since 1970, to the minute, where this report is made."""
    return DASH if math.isnan(seconds) else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def rates(section: Section) -> Table:
    """The learning rate of each loss, and what those passed over had on validation; no row where all are equal."""
    chooses = section.family.chooses
    table = Table("Learning rates", ["loss", "lr", f"validation {''.join(chooses[:1])}", "tried and passed over"])
    if not section.passed_over and len({group.lr for group in section.groups}) == 1:
        return table
    for group in section.groups:
        others = sorted((o for o in section.passed_over if o.label == group.label), key=lambda other: other.lr or 0)
        passed = [f"{_lr(other.lr)} ({_validation(other, chooses)})" for other in others]
        cells = [group.label, _lr(group.lr), _validation(group, chooses), ", ".join(passed) or DASH]
        table.rows.append([Shown(text) for text in cells])
    return telling(table)


def _lr(lr: float | None) -> str:
    return DASH if lr is None else f"{lr:g}"


def _validation(group: Group, chooses: Sequence[str]) -> str:
    """Its mean validation value in the first metric that it has of those by which a rate is chosen."""
    means = {name: mean for name in chooses if not math.isnan(mean := validation(group, name))}
    if not means:
        return "no value" if group.finished else "no finished run"
    name, mean = next(iter(means.items()))
    return ("" if name == chooses[0] else f"{name} ") + number(mean)


def chosen_by(section: Section) -> str:
    """By what the learning rates were chosen."""
    first, *rest = section.family.chooses or ("",)
    others = f" ({listed(rest, last='or')} if a loss has none)" if rest else ""
    return f"Chosen on validation {first}, mean over seeds{others}, never on test."


def cost(section: Section) -> Table:
    """Seconds of a run and training examples a second, mean ± standard deviation over seeds."""
    table = Table("Time and cost", ["loss", "runs", "seconds a run", "examples/s", *MACHINE])
    for group in section.groups:
        runs = list(group.finished.values())
        if runs:
            speeds = [median(run.curves[SPEED][1]) for run in runs if SPEED in run.curves]
            machine = [_found(runs, name) for name in MACHINE]
            cells = [group.label, str(len(runs)), spread([run.result["run"]["seconds"] for run in runs], 1)]
            table.rows.append([Shown(text) for text in [*cells, spread(speeds, 0), *machine]])
    return telling(table)


def spread(values: Sequence[float], places: int) -> str:
    if not values:
        return DASH
    return f"{fmean(values):,.{places}f}" + (f" ± {stdev(values):,.{places}f}" if len(values) > 1 else "")


def listed_counts(values: Any) -> str:
    found = Counter(values)
    return ", ".join(value if len(found) == 1 else f"{value} ({n})" for value, n in found.most_common())


def differing(section: Section) -> Table:
    """The keys in which the runs differ, a column each, but for the seed and for what does nothing."""
    groups = section.groups
    apart = [key for key in _keys(section) if len({repr(group.settings.get(key)) for group in groups}) > 1]
    apart = [key for key in apart if any(_works(group, key) for group in groups)]
    table = Table("What differs between the runs", ["loss", *apart])
    if apart:
        for group in groups:
            values = [short(group.settings[key]) if key in group.settings else "" for key in apart]
            table.rows.append([Shown(text) for text in [group.label, *values]])
    return table


def _works(group: Group, key: str) -> bool:
    """Whether the group's loss has the key, at a value that switches something on; a key of anything else does."""
    if not key.startswith("loss."):
        return True
    return group.settings.get(key) not in (None, False, 0)


def common(section: Section) -> Table:
    """The keys in which all runs agree."""
    keys = [key for key in _keys(section) if len({repr(group.settings.get(key)) for group in section.groups}) == 1]
    rows = [[Shown(key), Shown(short(section.groups[0].settings.get(key)))] for key in keys]
    return Table("What is the same", ["key", "value"], rows)


def _keys(section: Section) -> list[str]:
    return list(dict.fromkeys(key for group in section.groups for key in group.settings))


def origin(runs: Sequence[Run]) -> Table:
    """When, where and with what the finished runs trained."""
    table = Table("Dates, machine and versions", ["what", "in the runs"])
    done = [run for run in runs if run.status == "finished"]
    if done:
        dates = [date(end(run.ended for run in done)) for end in (min, max)]
        table.rows.append([Shown("finished"), Shown(" to ".join(dict.fromkeys(dates)))])
    for name in ("commit", *MACHINE) if done else ():
        table.rows.append([Shown(name), Shown(_found(done, name))])
    for name in sorted({name for run in done for name in run.result["run"].get("versions", {})}):
        found = listed_counts(str(run.result["run"].get("versions", {}).get(name)) for run in done)
        table.rows.append([Shown(name), Shown(found)])
    return table


def _found(runs: Sequence[Run], name: str) -> str:
    return listed_counts(str(run.result["run"].get(name)) for run in runs)


def unfinished(runs: Sequence[Run], out: Path) -> Table:
    """Every run that is not in the comparison because it did not finish, is missing or cannot be read."""
    table = Table("Runs that are not compared", ["run", "status", "why"])
    for run in runs:
        if run.status != "finished":
            link = address(run.folder, out)
            table.rows.append([Shown(str(run.folder), link=link), Shown(run.status), Shown(run.note or DASH)])
    return table
