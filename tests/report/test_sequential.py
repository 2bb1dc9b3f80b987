"""What is decided at each look, against a loop of the textbook's formulas over the runs' files."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from src.config.errors import UserError
from src.report.boundary import levels_of
from src.report.groups import SEQUENTIAL
from src.report.read import Run
from src.report.sequential import EQUAL, Plan, Verdict, at_level, ends, looks, plain, read_plan, runs_of
from src.report.statistics import holm
from src.system.files import write_yaml
from tests.report.fabricated import BRIER, CE, FOCAL, HINGE, Kind, ablation_of

SLIGHT = Kind("poly1", skill=1.005)
SEEDS = (4, 0, 1, 2, 3, 5, 6, 7, 8)
PLAN = Plan("nll", "ce", ("focal", "brier", "poly1"), SEEDS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ablation_of(tmp_path_factory.mktemp("runs"), [CE, FOCAL, BRIER, SLIGHT, HINGE], SEEDS)


@pytest.fixture(scope="module")
def runs(home: Path) -> list[Run]:
    return runs_of((path, path.parent.name.rpartition("-")[0]) for path in sorted(home.glob("*/seed*")))


def p_value(home: Path, loss: str, seeds: tuple[int, ...], metric: str) -> float:
    """V = A + C and t' = (A t(n - 1) + C t(N - 1)) / V, from the files."""

    def column(loss: str, seed: int) -> np.ndarray:
        (path,) = home.glob(f"{loss}-*/seed{seed}/predictions.npz")
        return np.load(path)[metric].astype(float)

    y = np.array([column(loss, seed) - column("ce", seed) for seed in seeds])
    n, examples = y.shape
    a = y.mean(1).var(ddof=1) / n
    pairs = [np.cov(y[i], y[j])[0, 1] for i, j in itertools.combinations(range(n), 2)]
    c = max(0.0, float(np.mean(pairs))) / examples
    t = abs(y.mean()) / np.sqrt(a + c)

    def beyond(p: float) -> float:
        return (a * stats.t.isf(p / 2, n - 1) + c * stats.t.isf(p / 2, examples - 1)) / (a + c) - t

    return float(optimize.brentq(beyond, 1e-15, 1, xtol=1e-15))


@pytest.mark.parametrize("metric", ["nll", "accuracy", "brier"])
def test_decisions_are_those_of_a_loop_over_the_files(home: Path, runs: list[Run], metric: str) -> None:
    plan = replace(PLAN, metric=metric)
    found = looks(plan, runs)
    left, shown = list(plan.labels), 0
    for k, look in enumerate(found):
        assert look.seeds == plan.looks[k]
        p = {label: p_value(home, label, SEEDS[: look.seeds], metric) for label in left}
        told = {verdict.label: verdict for verdict in look.verdicts}
        assert set(told) == set(left)
        stopped = []
        for label in sorted(left, key=p.__getitem__):  # type: ignore[arg-type]
            level = levels_of(plan.looks, 0.05 / (3 - shown))[k]
            assert told[label].span is not None
            assert told[label].span.p == pytest.approx(p[label], rel=1e-3)  # type: ignore[union-attr]
            if len(stopped) == shown - (3 - len(left)) and p[label] <= level:
                stopped.append(label)
                shown += 1
                assert told[label].word in ("better", "worse") and told[label].level == level
            else:
                assert told[label].word == ("open" if k < len(plan.looks) - 1 else "no difference shown")
        left = [label for label in left if label not in stopped]
    assert not left or found[-1].seeds == len(SEEDS)
    print({verdict.label: (verdict.word, look.seeds) for look in found for verdict in look.verdicts})


def test_the_interval_is_of_the_test(runs: list[Run]) -> None:
    """It excludes 0 exactly where the p-value is below its level; that of 5 % is the report's."""
    plain_spans = {run.label: run for run in runs}
    assert set(plain_spans) == {"ce", "focal", "brier", "poly1", "hinge"}
    for metric in ("nll", "ece"):
        for look in looks(replace(PLAN, metric=metric), runs):
            for verdict in look.verdicts:
                span = verdict.span
                assert span is not None
                assert span.excludes_zero == (span.p <= verdict.level)
                usual = at_level(span, 0.05)
                assert usual.excludes_zero == (span.p <= 0.05)
                assert span.low < usual.low < span.value < usual.high < span.high or verdict.level > 0.04


def test_what_cannot_be_compared_stops_nothing(home: Path, runs: list[Run]) -> None:
    """A loss without the metric, one of which a run failed; without the baseline's run there is no look."""
    plan = replace(PLAN, labels=("focal", "hinge", "poly1"))
    lost = [run for run in runs if (run.label, run.seed) != ("poly1", 0)]
    first = {verdict.label: verdict for verdict in looks(plan, lost)[0].verdicts}
    assert first["hinge"] == Verdict("hinge", 3, "not measured")
    assert first["poly1"] == Verdict("poly1", 3, "not finished")
    assert first["focal"].word in ("open", "better", "worse")
    assert looks(plan, [run for run in runs if (run.label, run.seed) != ("ce", 0)]) == []
    with pytest.raises(UserError, match=r"metric=nl is no metric of these runs\. Did you mean nll"):
        looks(replace(plan, metric="nl"), runs)
    with pytest.raises(UserError, match="metric=perplexity is measured, but no difference in it is tested"):
        looks(replace(plan, metric="perplexity"), runs)


def test_equal_within_a_margin(runs: list[Run]) -> None:
    """A wide margin decides at once what a narrow one leaves open; both say a difference first."""
    wide = looks(replace(PLAN, margin=10.0), runs)
    assert {verdict.word for verdict in wide[-1].verdicts} <= {"practically equal", "better", "worse"}
    assert len(wide) <= len(looks(PLAN, runs))
    for look in wide:
        for verdict in look.verdicts:
            assert verdict.level == levels_of(PLAN.looks, 0.05 / 3)[PLAN.looks.index(look.seeds)]
    narrow = looks(replace(PLAN, margin=1e-9), runs)
    assert all(verdict.word != "practically equal" for look in narrow for verdict in look.verdicts)


def test_the_plan_comes_back(home: Path, runs: list[Run], tmp_path: Path) -> None:
    path = tmp_path / SEQUENTIAL
    write_yaml(path, plain(PLAN, looks(PLAN, runs)))
    assert read_plan(path) == PLAN


@pytest.mark.parametrize("margin", [None, 0.06])
@pytest.mark.parametrize("metric", ["nll", "accuracy", "ece", "ece_ts"])
def test_p_values_say_what_is_decided(runs: list[Run], metric: str, margin: float | None) -> None:
    """At most 0.05 is shown, or equal; the interval excludes 0, or lies within the margin, exactly then."""
    plan = replace(PLAN, metric=metric, margin=margin)
    found = looks(plan, runs)
    told = ends(plan, found)
    assert told.keys() == set(plan.labels)
    for label, end in told.items():
        assert end.span is not None
        last = [verdict for look in found for verdict in look.verdicts if verdict.label == label][-1]
        assert replace(end, adjusted=math.nan, equal=math.nan) == last
        assert (end.adjusted <= 0.05) == (end.word in ("better", "worse")) == end.span.excludes_zero
        within = margin is not None and -margin <= end.span.low and end.span.high <= margin
        assert (end.equal <= 0.05) == within
        assert within == (end.word == EQUAL) or end.adjusted <= 0.05


def test_one_look_is_holms_correction(runs: list[Run]) -> None:
    """Of the p-values of the report's own test, which has one look."""
    plan = replace(PLAN, seeds=SEEDS[:4])
    assert plan.looks == (4,)
    told = ends(plan, looks(plan, runs))
    p = np.array([end.span.p for end in told.values() if end.span])
    np.testing.assert_allclose([end.adjusted for end in told.values()], holm(p), rtol=5e-3)


def test_a_p_value_is_not_smaller_than_that_of_what_was_shown_before(runs: list[Run]) -> None:
    """As with Holm's: it is the smallest alpha at which the whole procedure shows a difference by the look."""
    plan = replace(PLAN, metric="brier")
    found = looks(plan, runs)
    told = ends(plan, found)
    p = {(look.seeds, v.label): v.span.p for look in found for v in look.verdicts if v.span}
    assert sum(end.adjusted <= 0.05 for end in told.values()) > 0

    def shown_by(alpha: float) -> dict[str, int]:
        """Label -> the look at which it is shown at this level, of what was looked at."""
        shown: dict[str, int] = {}
        for k, seeds in enumerate(plan.looks):
            left = {label: p[seeds, label] for label in plan.labels if label not in shown and (seeds, label) in p}
            for label in sorted(left, key=left.__getitem__):
                if left[label] > levels_of(plan.looks, alpha / (3 - len(shown)))[k]:
                    break
                shown[label] = seeds
        return shown

    for label, end in told.items():
        if end.adjusted < 1:
            assert shown_by(end.adjusted * (1 + 1e-6)).get(label, 99) <= end.n
            assert all(shown_by(end.adjusted * share).get(label, 99) >= end.n for share in (0.999, 0.9, 0.5))
