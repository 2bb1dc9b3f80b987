"""What came of an ablation's published claims: each by the report's own means, differences and intervals."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..metrics.claims import Claim
from ..metrics.columns import Column
from .groups import Group, Section
from .measure import UNKNOWN, Measurements, Span
from .power import LEAST_SEEDS
from .table import Shown, Table
from .words import DASH, MINUS, difference, mean

REPRODUCED, DIRECTION, NOT = "reproduced", "in direction", "not reproduced"
NOT_RUN, FEW = "not run", "too few seeds"
RULE = (
    "What the ablation says of published tables, as its sweep.yaml has it, and what came out: a mean, or a difference"
    " on common seeds, with its 95 % interval. “reproduced”: it is in the band, and its interval excludes 0."
    " “in direction”: only the latter, on the side of the band. If the band includes 0, “reproduced”: the whole"
    " interval is in the band; “in direction”: no difference is shown, and none is excluded. A mean is reproduced if it"
    " is in the band."
)


@dataclass(frozen=True)
class Outcome:
    """A claim, and the number that it is about as its runs have it; ``span.n`` is 0 where none has."""

    claim: Claim
    metric: Column
    span: Span

    @property
    def verdict(self) -> str:
        """One word for what came out; m is the value, [lo, hi] its 95 % interval.

        Of a mean: reproduced if m is in the band. Of a difference whose band excludes 0: reproduced if m is in the band
        and the interval excludes 0 on the band's side; in direction if only the latter. Of a difference whose band
        includes 0: reproduced if the interval lies in the band; in direction if m is in the band and the interval
        reaches out of it, but includes 0. Fewer than three seeds tell of networks and not of losses.
        """
        claim, span = self.claim, self.span
        if not span.n or math.isnan(span.value):
            return NOT_RUN
        inside = claim.low <= span.value <= claim.high
        if claim.against is None:
            return REPRODUCED if inside else NOT
        if span.n < LEAST_SEEDS:
            return FEW
        if claim.sides:
            shown = span.low > 0 if claim.sides > 0 else span.high < 0
            return (REPRODUCED if inside else DIRECTION) if shown else NOT
        if claim.low <= span.low and span.high <= claim.high:
            return REPRODUCED
        return DIRECTION if inside and not span.excludes_zero else NOT

    @property
    def expected(self) -> str:
        """The band: "0.01 to 0.1", "at most 0.02"."""
        low, high = (f"{end:g}".replace("-", MINUS) for end in (self.claim.low, self.claim.high))
        if math.isinf(self.claim.low):
            return f"at most {high}"
        return f"at least {low}" if math.isinf(self.claim.high) else f"{low} to {high}"

    @property
    def came_out(self) -> str:
        """The value with its 95 % interval; — without runs."""
        if not self.span.n:
            return DASH
        return (difference if self.claim.against else mean)(self.metric, self.span)

    @property
    def what(self) -> str:
        """What it is a number of: "accuracy of focal minus ce"."""
        minus = f" minus {self.claim.against}" if self.claim.against else ""
        return f"{self.metric.name} of {self.claim.loss}{minus}"


def outcomes(claims: Sequence[Claim], section: Section, measured: Measurements) -> list[Outcome]:
    """What came of each of the claims."""
    groups = {group.label: group for group in section.groups if group.finished}
    return [_outcome(claim, section.family.column(claim.metric), groups, measured) for claim in claims]


def _outcome(claim: Claim, metric: Column, groups: dict[str, Group], measured: Measurements) -> Outcome:
    pair = [groups.get(label) for label in claim.labels]
    if (first := pair[0]) is None or None in pair or (metric.exponential and claim.against):  # that would be a ratio
        return Outcome(claim, metric, UNKNOWN)
    (span,) = measured.spans(metric, [(first, pair[1] if claim.against else None)])
    return Outcome(claim, metric, span.raised() if metric.exponential else span)


def counted(found: Sequence[Outcome]) -> str:
    """ "13 reproduced, 1 in direction"; "" of no claims."""
    counts = Counter(one.verdict for one in found)
    words = (REPRODUCED, DIRECTION, NOT, FEW, NOT_RUN)
    return ", ".join(f"{counts[word]} {word}" for word in words if counts[word])


def claims_in(section: Section, sections: Sequence[Section]) -> list[Claim]:
    """The claims of the section's ablation, but for those whose losses are all in another of its sections."""
    claims = _all(section)
    others = [other for other in sections if other is not section and _all(other) == claims]
    return [claim for claim in claims if _has(section, claim) or not any(_has(other, claim) for other in others)]


def _all(section: Section) -> tuple[Claim, ...]:
    return next((run.claims for group in section.groups for run in group.runs if run.claims), ())


def _has(section: Section, claim: Claim) -> bool:
    return {*claim.labels} <= {group.label for group in section.groups}


def table(found: Sequence[Outcome]) -> Table:
    """A row for each claim: what was expected, what came out, and the verdict."""
    result = Table("Published claims", ["claim", "expected", "came out"])
    for one in found:
        n = one.span.n
        seeds = f"{n} seed{'s' * (n > 1)}" if n else "no finished run has it"
        own = [Shown(one.claim.claim, one.claim.source), Shown(one.expected, one.what)]
        result.rows.append([*own, Shown(one.came_out, seeds, one.verdict)])
    return result
