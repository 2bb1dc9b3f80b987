"""Ratios of two sums over test examples, as a character error rate is: their intervals against what is known."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats

from src.metrics.columns import Column, Family
from src.report.compare import Comparison, compare
from src.report.examples import Examples, straightened
from src.report.groups import Group, sections_of
from src.report.measure import Measurements, Span
from src.report.read import Run, find_runs, read_run
from src.report.rules import how_sure
from src.report.write import find_baseline, write_report
from tests.report.fabricated import Kind, run_of, started

Floats = NDArray[np.float64]
CER = Column("cer", judged=True, ratio=("edits", "characters"), phrase=("have", "a lower cer", "a higher cer"))
PART = Column("unseen_hits", 1, judged=True, high=1, share=True, ratio=("hit_unseen", "unseen"))
RATE, HIT = Column("rate"), Column("hit", 1, high=1, share=True)
LINES = Family("lines", (CER, PART, RATE, HIT), chooses=("cer",), keeps="cer", shown=("cer",), charts=("cer",))
ONE, OTHER = Kind("one"), Kind("other")


def lines(rng: Generator, n: int, seeds: int, luck: float = 0.2) -> tuple[Floats, Floats]:
    """Characters (n,) and edits (seeds, n): longer lines have more errors a character, some lines are hard for all."""
    characters = rng.integers(0, 9, n).astype(float)
    hard = rng.standard_normal(n) + 0.4 * (characters - 4)
    rate = 1 / (1 + np.exp(2.5 - hard - luck * rng.standard_normal((seeds, 1))))
    inserted = rng.random((seeds, n)) < 0.05  # also on a line without characters
    return characters, rng.binomial(characters.astype(int), rate) + inserted


def measured(tables: dict[str, list[tuple[Floats, Floats]]]) -> tuple[Measurements, dict[str, Group]]:
    """Losses of so many seeds each, by the sums of ``CER``; and with the rate of each line as ``RATE``."""
    groups = {}
    for loss, seeds in tables.items():
        runs = []
        for seed, (edits, characters) in enumerate(seeds):
            rate = edits / np.maximum(characters, 1)
            values = {"cer": straightened(edits, characters), "rate": rate}
            examples = Examples({name: one.astype(np.float32) for name, one in values.items()}, {}, "the same")
            test = {"cer": edits.sum() / characters.sum(), "rate": rate.mean()}
            result = {"metrics": {"test": test}}
            runs.append(Run(Path(loss, str(seed)), "finished", seed=seed, result=result, examples=examples))
        groups[loss] = Group(loss, {}, runs)
    return Measurements([run for group in groups.values() for run in group.runs]), groups


def holds(span: Span, truth: float) -> bool:
    return span.low <= truth <= span.high


def held(rng: Generator, seeds: int, luck: float, *truths: float) -> list[float]:
    """The share of the intervals of 100 samples of 300 lines, a loss each, that hold each of ``truths``: intervals of
    cer the first, of the mean rate of lines the others."""
    samples = {}
    for k in range(100):
        characters, edits = lines(rng, 300, seeds, luck)
        samples[str(k)] = [(row, characters) for row in edits]
    found, groups = measured(samples)
    pairs = [(group, None) for group in groups.values()]
    spans = [found.spans(column, pairs) for column in (CER, RATE, RATE)]
    return [float(np.mean([holds(span, true) for span in of])) for of, true in zip(spans, truths, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_intervals_hold_the_true_ratio(seeds: int) -> None:
    """As those of a mean hold its truth (test_coverage.py). Intervals of the mean rate of lines do not hold the ratio:
    it is another number.

    One network's interval is over examples only: then the networks have no luck.
    """
    rng, luck = np.random.default_rng(seeds), 0.2 if seeds > 1 else 0.0
    characters, edits = lines(rng, 20_000, 200, luck)
    true, rate = edits.mean() / characters.mean(), (edits / np.maximum(characters, 1)).mean()
    of_ratio, of_mean, of_another = np.mean([held(rng, seeds, luck, true, rate, true) for _ in range(20)], axis=0)
    assert 0.925 <= of_ratio <= 0.975 and 0.925 <= of_mean <= 0.975
    assert of_another < 0.5


@pytest.mark.slow
def test_differences_hold_the_true_difference_and_seldom_err() -> None:
    """Two losses of three seeds on the same lines: one has a third of its edits taken back; and two that are equal."""
    rng, repetitions = np.random.default_rng(0), 1000
    characters, edits = lines(rng, 20_000, 200)
    true = -edits.mean() / 3 / characters.mean()
    covered = wrong = 0
    for _ in range(repetitions):
        n, e = lines(rng, 300, 6)
        fewer = rng.binomial(e[3:].astype(int), 2 / 3)
        both = {"one": e[:3], "less": fewer, "same": e[3:]}
        found, groups = measured({loss: [(row, n) for row in rows] for loss, rows in both.items()})
        less, same = found.spans(CER, [(groups["less"], groups["one"]), (groups["same"], groups["one"])])
        covered += holds(less, true)
        wrong += same.p <= 0.05
    assert 0.93 <= covered / repetitions <= 0.97
    assert wrong / repetitions <= 0.065


def test_one_network_s_interval_is_that_of_the_delta_method_and_of_the_bootstrap() -> None:
    characters, (edits,) = lines(np.random.default_rng(5), 2000, 1)
    found, groups = measured({"one": [(edits, characters)]})
    (span,) = found.spans(CER, [(groups["one"], None)])
    ratio, n = edits.sum() / characters.sum(), len(edits)
    half = stats.t.ppf(0.975, n - 1) * (edits - ratio * characters).std(ddof=1) / characters.mean() / math.sqrt(n)
    assert (span.value, span.low, span.high) == pytest.approx((ratio, ratio - half, ratio + half), rel=1e-6)

    def of_sums(above: Floats, below: Floats, axis: int = -1) -> Floats:
        return np.asarray(above.sum(axis) / below.sum(axis))

    drawn = stats.bootstrap(
        (edits, characters), of_sums, paired=True, n_resamples=4000, batch=500, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (span.low, span.high) == pytest.approx((drawn.low, drawn.high), abs=0.05 * 2 * half)


def lines_run(folder: Path, kind: Kind, seed: int, arrays: dict[str, Floats], **other: float | None) -> Path:
    """A finished run with these columns; its metrics are their means and ratios."""
    path = started(folder, kind, seed)
    kept = {name: column.astype(np.float32) for name, column in arrays.items()}
    np.savez(path / "predictions.npz", targets=np.arange(len(arrays["edits"])), **kept)  # type: ignore[arg-type]
    means = {name: float(column.mean()) for name, column in arrays.items()}
    metrics = means | LINES.ratios(means) | other
    result = {"status": "finished", "family": LINES.plain(), "metrics": {"test": metrics, "val": metrics}}
    (path / "metrics.csv").write_text(f"step,epoch,samples_seen,tag,value\n3,0,3,val/cer,{metrics['cer'] or 'nan'}\n")
    (path / "result.json").write_text(json.dumps(result | {"steps": 3, "notes": [], "run": run_of(1.0)}))
    return path


def arrays_of(rng: Generator, n: int, seeds: int) -> list[dict[str, Floats]]:
    characters, edits = lines(rng, n, seeds)
    unseen = (np.arange(n) < n // 5).astype(float)
    return [
        {"edits": e, "characters": characters, "unseen": unseen, "hit_unseen": unseen * (rng.random(n) < 0.7)}
        for e in edits
    ]


def compared(folder: Path, **more: Any) -> Comparison:
    (section,) = sections_of(find_runs([folder]))
    return compare(section, find_baseline(section, "one"))


def spans_of(comparison: Comparison, column: Column) -> list[Span | None]:
    cells = [comparison.cells[label, column.name] for label in ("one", "other")]
    return [cells[0].mean, cells[1].mean, cells[1].difference]


def same(found: Sequence[Span | None], expected: Sequence[Span | None]) -> None:
    for one, two in zip(found, expected, strict=True):
        assert one is not None and two is not None
        assert (one.value, one.low, one.high, one.p) == pytest.approx(
            (two.value, two.low, two.high, two.p), rel=1e-4, nan_ok=True
        )


def test_if_all_lines_are_as_long_it_is_the_plain_mean_of_rates(tmp_path: Path) -> None:
    for kind in (ONE, OTHER):
        for seed, arrays in enumerate(arrays_of(np.random.default_rng(len(kind.loss)), 200, 3)):
            arrays["characters"] = np.full(200, 6.0)
            lines_run(tmp_path, kind, seed, arrays | {"rate": arrays["edits"] / 6})
    comparison = compared(tmp_path)
    same(spans_of(comparison, CER), spans_of(comparison, RATE))
    assert comparison.of_seeds == []


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("rate", [0.7, 1.0])
def test_a_mean_over_a_part_is_as_sure_as_the_part_is_large(seeds: int, rate: float, tmp_path: Path) -> None:
    """Of 300 images 40 have captions never seen: the same as a test of these 40 alone, also where all are right."""
    for kind in (ONE, OTHER):
        rng = np.random.default_rng(len(kind.loss))
        for seed, arrays in enumerate(arrays_of(rng, 300, seeds)):
            part = np.arange(300) % 7 == 3
            hit = (rng.random(300) < rate).astype(float)
            lines_run(tmp_path / "whole", kind, seed, arrays | {"unseen": part + 0.0, "hit_unseen": part * hit})
            few = {name: column[part] for name, column in arrays.items()}
            lines_run(tmp_path / "part", kind, seed, few | {"hit": hit[part]})
    whole, part_only = compared(tmp_path / "whole"), compared(tmp_path / "part")
    same(spans_of(whole, PART), spans_of(part_only, HIT))
    assert all(span is not None and span.high > span.low for span in spans_of(whole, PART))


def test_the_report_judges_a_ratio_and_says_what_it_is(tmp_path: Path) -> None:
    for kind, fewer in ((ONE, 1.0), (OTHER, 0.5)):
        for seed, arrays in enumerate(arrays_of(np.random.default_rng(1), 400, 4)):
            lines_run(tmp_path / "runs", kind, seed, arrays | {"edits": np.floor(arrays["edits"] * fewer)})
    (comparison,) = write_report([tmp_path / "runs"], "one", tmp_path).comparisons
    cell = comparison.cells["other", "cer"]
    assert cell.difference is not None and cell.word(CER) == "better"
    page = (tmp_path / "report.html").read_text()
    assert "other has a lower cer than one" in page
    assert "cer is the sum of edits over the test examples divided by the sum of characters" in page
    assert "delta method" in how_sure([CER]) and "delta" not in how_sure([RATE])


def test_a_ratio_of_nothing_is_no_number(tmp_path: Path) -> None:
    """No line has a character: no interval, no crash, no metric, and a sentence of the run says why."""
    for seed, arrays in enumerate(arrays_of(np.random.default_rng(2), 50, 3)):
        lines_run(tmp_path, ONE, seed, arrays | {"characters": np.zeros(50)})
    comparison = compared(tmp_path)
    assert ("one", "cer") not in comparison.cells and ("one", "unseen_hits") in comparison.cells
    assert LINES.ratios({"edits": 2.0, "characters": 0.0}) == {"cer": None}
    assert LINES.undefined({"edits": 2.0, "characters": 0.0, "unseen": 0.5}) == [
        "there is no cer: it is the sum of edits divided by the sum of characters, and the latter is 0"
    ]


def test_one_example_of_a_part_has_no_interval_over_examples(tmp_path: Path) -> None:
    for seed, arrays in enumerate(arrays_of(np.random.default_rng(2), 50, 3)):
        lines_run(tmp_path, ONE, seed, arrays | {"unseen": np.eye(50)[0], "hit_unseen": np.eye(50)[0]})
    assert compared(tmp_path).of_seeds == [PART]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"characters": -1.0}, "predictions.npz: characters has numbers that are not from 0 to inf"),
        ({"edits": math.nan}, "predictions.npz: edits has numbers that are not from -inf to inf"),
        ({"edits": 5.0}, "predictions.npz: its cer is "),
    ],
)
def test_strange_sums_are_refused(change: dict[str, float], reason: str, tmp_path: Path) -> None:
    (arrays,) = arrays_of(np.random.default_rng(3), 50, 1)
    run = lines_run(tmp_path, ONE, 0, arrays)
    assert read_run(run).note == ""
    for name, value in change.items():
        arrays[name] = np.full(50, value)
    np.savez(run / "predictions.npz", targets=np.arange(50), **arrays)
    assert read_run(run).note.startswith(reason)


def test_infinite_sums_have_no_interval_over_examples(tmp_path: Path) -> None:
    for seed, arrays in enumerate(arrays_of(np.random.default_rng(4), 50, 3)):
        run = lines_run(tmp_path, ONE, seed, arrays)
        np.savez(run / "predictions.npz", targets=np.arange(50), **arrays | {"characters": np.full(50, math.inf)})
    assert compared(tmp_path).of_seeds == [CER]
