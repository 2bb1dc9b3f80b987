"""The space of a search: which keys take which values, read from words in Hydra's grammar of sweeps, and log(a,b)."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

from hydra._internal.grammar.functions import Functions
from hydra._internal.grammar.grammar_functions import tag
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..config.errors import UserError, suggestion
from ..sweep.jobs import Composer, Job

FORMS = "interval(a,b), log(a,b), range(a,b,step) and choice(a,b) or a,b"


@dataclass(frozen=True)
class Dimension:
    """A key that is searched."""

    key: str
    distribution: BaseDistribution

    def word(self, value: Any) -> str:
        """The word of a trial that has this value. Four digits are enough, and can be read and typed."""
        if isinstance(self.distribution, FloatDistribution):
            low, high, short = self.distribution.low, self.distribution.high, f"{value:.4g}"
            value = short if low <= float(short) <= high else repr(min(max(float(short), low), high))
        return f"{self.key}={value}"

    def ends(self) -> list[str]:
        """The words to compose before the first trial: of all choices, or of both ends."""
        known = self.distribution
        if isinstance(known, CategoricalDistribution):
            return [self.word(value) for value in known.choices]
        assert isinstance(known, FloatDistribution | IntDistribution)
        return [self.word(known.low), self.word(known.high)]


def split(words: Sequence[str], loader: ConfigLoader) -> tuple[list[str], list[Dimension]]:
    """The words that all trials have, and what is searched. Raises UserError, HydraException."""
    functions: Functions = create_functions()
    functions.register("log", log)
    parser = OverridesParser(functions, loader)
    fixed, space = [], []
    for word in words:
        key, _, value = word.partition("=")
        called = re.match(r"(\w+)\(", value)
        if called and called[1] not in functions.functions:
            near = suggestion(called[1], functions.functions)
            raise UserError(f"{key}: there is no {called[1]}(...).{near} A search takes {FORMS}")
        try:
            (override,) = parser.parse_overrides([word])
        except HydraException:
            if not called:
                raise
            raise UserError(f"{word} cannot be read. A search takes {FORMS}") from None
        if override.is_sweep_override():
            space.append(Dimension(override.get_key_element(), distribution_of(override)))
        else:
            fixed.append(word)
    if not space:
        raise UserError(
            f'nothing to search: give keys several values, "optimizer.lr=log(1e-4,1e-1)"; there are {FORMS}'
        )
    return fixed, space


def log(start: Union[int, float], end: Union[int, float]) -> Sweep:  # noqa: UP007  Hydra knows no other form
    """Hydra's tag(log, interval(start, end)), in fewer brackets."""
    return tag("log", IntervalSweep(start=float(start), end=float(end)))


def distribution_of(override: Override) -> BaseDistribution:
    """What a sweep says of its key's values. Raises UserError."""
    sweep, key = override.value(), override.get_key_element()
    assert isinstance(sweep, Sweep) or override.is_choice_sweep()
    tags: set[str] = getattr(sweep, "tags", set())
    if tags - {"log"}:
        raise UserError(f"{key}: unknown tag {', '.join(sorted(tags - {'log'}))}; there is log")
    try:
        if isinstance(sweep, IntervalSweep):
            assert sweep.start is not None and sweep.end is not None
            whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
            return between(sweep.start, sweep.end, logarithmic="log" in tags, whole=whole)
        if isinstance(sweep, RangeSweep):
            return steps(sweep, logarithmic="log" in tags)
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None
    choices = list(override.sweep_string_iterator())
    if len(set(choices)) < max(2, len(choices)):
        raise UserError(f"{key} needs different values to choose from, got {', '.join(choices) or 'none'}")
    return CategoricalDistribution(choices)


def between(low: float, high: float, *, logarithmic: bool, whole: bool) -> BaseDistribution:
    if not low < high:
        raise ValueError(f"the first end must be below the second, got {low:g} and {high:g}")
    if logarithmic and low <= 0:
        raise ValueError(f"log needs ends above 0, got {low:g}")
    return (IntDistribution if whole else FloatDistribution)(low, high, log=logarithmic)  # type: ignore[arg-type]


def steps(sweep: RangeSweep, *, logarithmic: bool) -> BaseDistribution:
    """As Hydra counts them: the second end is not in it."""
    values = sorted(sweep.range())
    if len(values) < 2:
        raise ValueError(f"the range has {len(values)} values; the second end is not in it")
    if logarithmic:
        raise ValueError("log goes with interval: log(a,b)")
    kind = IntDistribution if isinstance(values[0], int) else FloatDistribution
    return kind(values[0], values[-1], step=abs(sweep.step))  # type: ignore[arg-type]


def checked_space(fixed: list[str], space: list[Dimension], composer: Composer) -> list[Dimension]:
    """The space, with whole numbers where a key takes no others. Raises UserError where some value cannot run."""

    def fault(dimension: Dimension, word: str) -> str | None:
        job = Job([*fixed, *(word if other is dimension else other.ends()[0] for other in space)])
        composer.compose(job)
        return job.fault

    sure = []
    for dimension in space:
        for word in dimension.ends():
            if found := fault(dimension, word):
                raise UserError(found)
        known = dimension.distribution
        if isinstance(known, FloatDistribution) and known.step is None:
            between_ends = dimension.word(known.low + (known.high - known.low) / math.pi)
            if found := fault(dimension, between_ends):
                if known.low % 1 or known.high % 1:
                    raise UserError(found)
                dimension = Dimension(dimension.key, IntDistribution(int(known.low), int(known.high), log=known.log))
        sure.append(dimension)
    return sure
