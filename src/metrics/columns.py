"""What is measured in each family of tasks, without torch, so that whoever reads runs may know of it too.

A family is a question: by what its losses are judged. Images and language are classified by the same losses, but a
run on images is never compared with one on text. A task has its family, each run writes its own into result.json, and
whoever shows, charts, judges or searches over runs reads it there. So nothing but a task names a metric.
"""

import math
import re
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

NAME = re.compile(r"[\w.@+-]{1,40}", re.ASCII)  # part of a tag ("val/nll"), a heading, a line of a terminal
WORDS = 60  # characters of a unit or a phrase
LARGEST = 1e30  # of the numbers that describe a column
Kind = TypeVar("Kind", "Column", "Family")


@dataclass(frozen=True)
class Column:
    """A metric of a test, and of a validation where it is measured there.

    ``better``: -1 if less is better, 1 if more is, 0 if neither. ``judged``: a report tests its differences.
    ``unit``: what the terminal writes behind it. ``phrase``: (verb, better, worse), in which a report's first sentences
    speak of it; None if they do not. ``after``: the column of which this is the value after temperature scaling.
    It is ``factor`` times the mean of ``source`` over seeds, and e raised to that if ``exponential``: then differences
    are ratios. ``root``: of each run it is the square root of ``source``. ``low`` and ``high`` bound it. ``share``: of
    examples, 0 or 1 each. ``gap``: it is the expected calibration error of two columns of predictions.npz, the
    confidence and whether the guess is right. ``ratio``: it is the sum over examples of one column of predictions.npz
    divided by the sum of another, which is never negative: ("edits", "characters"). A mean over a part of the examples
    is a ratio too, of 0 or the value, and 0 or 1. ``parts``: two columns whose sum it is, which a report draws.
    """

    name: str
    better: int = -1
    judged: bool = False
    unit: str = ""
    phrase: tuple[str, str, str] | None = None
    after: str = ""
    source: str = ""
    factor: float = 1.0
    exponential: bool = False
    root: bool = False
    low: float = 0.0
    high: float = math.inf
    share: bool = False
    gap: tuple[str, str] | None = None
    ratio: tuple[str, str] | None = None
    parts: tuple[str, str] | None = None

    def check(self) -> None:
        """Raise ValueError if no family can have this column."""
        others = (*(self.gap or ()), *(self.ratio or ()), *(self.parts or ()))
        names = (self.name, self.source or self.name, self.after or self.name, *others)
        if not all(map(NAME.fullmatch, names)) or max(map(len, (self.unit, *(self.phrase or ())))) > WORDS:
            raise ValueError(f"no column has the name {shown(self.name)} and such words")
        if self.better not in (-1, 0, 1) or (self.judged and not self.better):
            raise ValueError(f"no column is judged={self.judged} and better={shown(self.better)}: {self.name}")
        if self.ratio and (self.ratio[0] == self.ratio[1] or self.source or self.root or self.exponential or self.gap):
            raise ValueError(f"no column is the ratio {shown(self.ratio)} and something else: {self.name}")
        ends = (abs(end) for end in (self.low, self.high) if end not in (-math.inf, math.inf))
        if not (self.low <= self.high and 0 < abs(self.factor) < LARGEST and all(end < LARGEST for end in ends)):
            raise ValueError(f"no column has such a factor, or such a lowest and highest value: {self.name}")

    @property
    def title(self) -> str:
        """How sentences and figures call it."""
        return f"{self.after} after temperature scaling" if self.after else self.name

    @property
    def measure(self) -> str:
        """How axes and tables call it: with its unit, unless its name says that."""
        return f"{self.name} ({self.unit})" if self.unit and self.unit not in self.name else self.name

    def is_better(self, value: float, than: float) -> bool:
        """Whether one value is better than another. No value is, of a column by which nothing is better."""
        return value > than if self.better > 0 else self.better < 0 and value < than


@dataclass(frozen=True)
class Family:
    """The columns of a family's runs, in the order of its tables, and what they are for, by name.

    ``chooses``: the first of these that a run has says, on validation, which learning rate is best and when training
    stops early. ``keeps``: best.ckpt is the one that is best in it, or, if the run has no such column, in what
    ``chooses``. ``shown``: in a line of the terminal. ``charts``: pinned in TensorBoard and drawn in a report, on
    validation. ``against``: the two axes of a report's scatter.
    ``undrawn``: measured, but no curve. ``baseline``: the loss with which a report compares if nobody names another.
    ``ceilings``: the floors that are as good as a loss can be, so that no sentence says who is no better.
    ``face``: which picture of a run's figures/ a report shows first, side by side by loss, and what it shows. A run
    need not have every column.
    """

    name: str
    columns: tuple[Column, ...]
    chooses: tuple[str, ...]
    keeps: str
    shown: tuple[str, ...]
    charts: tuple[str, ...]
    against: tuple[str, str] | None = None
    undrawn: tuple[str, ...] = ()
    baseline: str = ""
    face: tuple[str, str] | None = None
    ceilings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for column in self.columns:
            column.check()
        if not NAME.fullmatch(self.name) or len(self.baseline) > WORDS:
            raise ValueError(f"no family has the name {shown(self.name)} and the baseline {shown(self.baseline)}")
        if self.face and not (NAME.fullmatch(self.face[0]) and len(self.face[1]) <= WORDS):
            raise ValueError(f"no family has the face {shown(self.face)}")
        own = [column.name for column in self.columns]
        if len(own) > len({*own}):
            raise ValueError(f"two columns of the family {self.name} have one name: {', '.join(sorted(own))}")
        used = {*self.chooses, self.keeps, *self.shown, *self.charts, *(self.against or ())}
        used |= {part for column in self.columns for part in column.parts or ()}
        unknown = used - {*own}
        if unknown or not self.chooses:
            raise ValueError(
                f"the family {self.name} has no column {shown(*sorted(unknown)) if unknown else 'that chooses'}"
            )

    def column(self, name: str) -> Column:
        """The column of this name; one that is only shown, and by which nothing is better, if there is none."""
        return next((column for column in self.columns if column.name == name), Column(name, 0, low=-math.inf))

    def choice(self, values: Mapping[str, float | None]) -> tuple[Column, float] | None:
        """The column that chooses among runs with ``values``, and its value; None if they have none."""
        known = ((name, values.get(name)) for name in self.chooses)
        return next(((self.column(name), value) for name, value in known if value is not None), None)

    def ratios(self, means: Mapping[str, float]) -> dict[str, float | None]:
        """The columns that are ratios of ``means`` over examples; None where that is a division by 0."""
        pairs = {column.name: column.ratio for column in self.columns if column.ratio and {*column.ratio} <= {*means}}
        return {name: means[above] / means[below] if means[below] else None for name, (above, below) in pairs.items()}

    def undefined(self, metrics: Mapping[str, float | None]) -> list[str]:
        """Of each ratio that ``metrics`` lack because it divides by 0, a sentence that says so."""
        pairs = {column.name: column.ratio for column in self.columns if column.ratio}
        return [
            f"there is no {name}: it is the sum of {above} divided by the sum of {below}, and the latter is 0"
            for name, (above, below) in pairs.items()
            if metrics.get(below) == 0
        ]

    def plain(self) -> dict[str, Any]:
        """As plain containers, for result.json; a column says only what is not the default."""
        return asdict(self) | {"columns": [_changed(column) for column in self.columns]}


def family_of(plain: Any) -> Family:
    """The family that ``Family.plain`` wrote. Raises ValueError for what it did not write."""
    try:
        return _made(Family, {**plain, "columns": [_made(Column, column) for column in plain["columns"]]})
    except (TypeError, KeyError) as error:
        raise ValueError(f"no family of tasks ({error})") from error


KINDS = {kind.__name__: get_type_hints(kind) for kind in (Column, Family)}


def _made(kind: type[Kind], plain: Mapping[str, Any]) -> Kind:
    kinds = KINDS[kind.__name__]
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in {**plain}.items()
    }
    for key, value in values.items():
        if not _fits(value, kinds[key]):
            raise ValueError(f"the {key} of a {kind.__name__.lower()} is not {shown(value)}")
    return kind(**values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type: a plain one, a tuple, or either of two."""
    parts = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(kind) is not tuple:
        return isinstance(value, int | float if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if parts[-1] is not ...:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    return isinstance(value, tuple) and all(_fits(one, parts[0]) for one in value)


def shown(*values: Any) -> str:
    """The values as a message says them, the first characters of what is long."""
    return ", ".join(text if len(text := repr(value)) <= WORDS else f"{text[:WORDS]}…" for value in values)


def _changed(column: Column) -> dict[str, Any]:
    values = {one.name: getattr(column, one.name) for one in fields(column)}
    return {one.name: values[one.name] for one in fields(column) if values[one.name] != one.default}


BINNED = ("confidence", "accuracy")  # the means of each bin of a reliability diagram, in result.json
