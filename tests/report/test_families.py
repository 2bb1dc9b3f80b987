"""A report of a family that it has never heard of: its columns are in the runs, and nothing of it is in the report."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from src.metrics.columns import Column, Family
from src.metrics.families import CLASSIFICATION
from src.report import tables
from src.report.compare import Comparison, compare
from src.report.findings import findings
from src.report.groups import sections_of
from src.report.measure import Measurements
from src.report.read import find_runs, read_run
from src.report.rules import rule
from src.report.write import find_baseline, told, write_report
from tests.report.fabricated import CE, Kind, ablation_of, run_of, started

LOWER_CRPS = ("have", "a lower crps", "a higher crps")
VALUES = Family(
    "values",
    (
        Column("crps", judged=True, unit="degrees", phrase=LOWER_CRPS),
        Column("rmse", unit="degrees", source="squared_error", root=True),
        Column("coverage", 0, high=1, share=True),
        Column("width", 0, unit="degrees"),
    ),
    chooses=("crps",),
    keeps="crps",
    shown=("crps",),
    charts=("crps", "rmse"),
    against=("width", "crps"),
    baseline="mse",
)
MSE, MAE, GAUSSIAN = Kind("mse"), Kind("mae", skill=2.0), Kind("gaussian", skill=2.1)


def values_run(folder: Path, kind: Kind, seed: int, n: int = 300, family: Family = VALUES) -> Path:
    """A finished run whose errors are the smaller, the more skill its loss has."""
    path = started(folder, kind, seed)
    shared, own = np.random.default_rng(7), np.random.default_rng([seed, *kind.loss.encode()])
    targets = shared.uniform(0, 90, n)
    skill = kind.skill + 0.05 * own.standard_normal()
    error = (shared.standard_normal(n) + 0.3 * own.standard_normal(n)) * 10 / skill
    arrays = {"crps": np.abs(error) / 2, "squared_error": error**2, "coverage": (np.abs(error) < 12).astype(float)}
    np.savez(path / "predictions.npz", targets=targets, **{k: v.astype(np.float32) for k, v in arrays.items()})
    means: dict[str, float] = {name: float(array.mean()) for name, array in arrays.items()}
    means |= {"rmse": math.sqrt(means["squared_error"]), "width": 20.0 + seed, "loss": -3.0}
    tags = [(step, split) for step in (1, 2, 3) for split in ("val", "train")]
    rows = [f"{step},0,{step},{split}/crps,{means['crps'] + 9 / step!r}" for step, split in tags]
    (path / "metrics.csv").write_text("\n".join(["step,epoch,samples_seen,tag,value", *rows]) + "\n")
    result = {"status": "finished", "family": family.plain(), "metrics": {"test": means, "val": means}}
    (path / "result.json").write_text(json.dumps(result | {"steps": 3, "notes": [], "run": run_of(1.0)}))
    return path


def ablation(folder: Path, kinds: tuple[Kind, ...] = (MSE, MAE, GAUSSIAN), seeds: int = 4, **more: Any) -> Comparison:
    for kind in kinds:
        for seed in range(seeds):
            values_run(folder, kind, seed, **more)
    return compared(folder)


def compared(folder: Path) -> Comparison:
    (section,) = sections_of(find_runs([folder]))
    return compare(section, find_baseline(section, None))


def test_the_answer_is_in_the_family_s_own_words(tmp_path: Path) -> None:
    comparison = ablation(tmp_path)
    texts = [finding.text for finding in findings(comparison)]
    assert texts[0].startswith("gaussian and mae have a lower crps than mse (crps \N{MINUS SIGN}")
    assert comparison.judged == [VALUES.column("crps")]
    assert "comparisons with mse (crps)" in rule(comparison)
    assert "corrected for chance" not in rule(comparison)


def test_its_page_has_its_columns_its_charts_and_nothing_of_another_family(tmp_path: Path) -> None:
    ablation(tmp_path / "runs")
    written = write_report([tmp_path / "runs"], None, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    for text in ("crps (degrees) ↓", "rmse (degrees) ↓", "coverage", "validation crps (degrees)", "crps against width"):
        assert text in page
    assert "(the delta method)" in page and "coverage, a share, is Wilson" in page
    for text in ("accuracy", "nll", "ece", "temperature", "Reliability", "probabilities"):
        assert text not in set(re.findall(r"\w+", page)), text
    table = tables.results(written.comparisons[0])
    assert table.header == ["loss", "crps (degrees) ↓"]
    assert [row[0].text for row in table.rows] == ["mse", "gaussian", "mae"]
    assert [row[1].tone for row in table.rows] == ["", "better", "better"]
    assert any("have a lower crps" in line for line in told(written))


def test_a_root_has_the_interval_of_the_delta_method(tmp_path: Path) -> None:
    """One seed: sqrt(m) +- t s / (2 sqrt(m) sqrt(N)), with m and s of the squared errors."""
    run = values_run(tmp_path, MSE, 0)
    with np.load(run / "predictions.npz") as stored:
        squared = stored["squared_error"].astype(float)
    comparison = compared(tmp_path)
    span = comparison.cells["mse", "rmse"].mean
    half = stats.t.ppf(0.975, len(squared) - 1) * squared.std(ddof=1) / 2 / math.sqrt(squared.mean() * len(squared))
    assert (span.value, span.low, span.high) == pytest.approx(
        (math.sqrt(squared.mean()), math.sqrt(squared.mean()) - half, math.sqrt(squared.mean()) + half), rel=1e-4
    )


def test_a_root_s_interval_is_that_of_drawing_the_examples_anew(tmp_path: Path) -> None:
    """The bootstrap of one network's root mean square, 4,000 draws."""
    run = values_run(tmp_path, MSE, 0, n=2000)
    with np.load(run / "predictions.npz") as stored:
        squared = stored["squared_error"].astype(float)
    rng = np.random.default_rng(0)
    draws = [math.sqrt(squared[rng.integers(0, len(squared), len(squared))].mean()) for _ in range(4000)]
    span = compared(tmp_path).cells["mse", "rmse"].mean
    low, high = np.quantile(draws, (0.025, 0.975))
    assert (span.low, span.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_what_has_no_numbers_of_examples_has_an_interval_over_seeds(tmp_path: Path) -> None:
    comparison = ablation(tmp_path)
    assert [metric.name for metric in comparison.of_seeds] == ["width"]
    assert "That of width is over seeds only." in rule(comparison)
    span = comparison.cells["mse", "width"].mean
    values = np.array([20.0, 21, 22, 23])
    assert (span.low, span.high) == pytest.approx(stats.t.interval(0.95, 3, values.mean(), stats.sem(values)))
    assert comparison.cells["mae", "width"].word(VALUES.column("width")) == ""


def test_families_are_never_compared(tmp_path: Path) -> None:
    """Of the same data and model; a run that said nothing yet is counted to the family of its loss."""
    ablation_of(tmp_path, [CE], range(3), n=50)
    for seed in range(3):
        values_run(tmp_path, MSE, seed)
    waiting = [started(tmp_path, kind, 3) for kind in (CE, MSE)]
    runs = find_runs([tmp_path])
    sections = sections_of(runs)
    assert [section.title for section in sections] == ["mnist_5k · mlp · classification", "mnist_5k · mlp · values"]
    assert [section.family for section in sections] == [CLASSIFICATION, VALUES]
    for section, run in zip(sections, waiting, strict=True):
        assert run in [run.folder for group in section.groups for run in group.runs]


def test_the_newest_run_says_what_the_columns_are(tmp_path: Path) -> None:
    """Its crps is not judged any more, and bounded: so it is of all runs, however the others were written."""
    ablation(tmp_path)
    crps, *others = VALUES.columns
    newer = dataclasses.replace(VALUES, columns=(dataclasses.replace(crps, judged=False), *others))
    run = next(tmp_path.glob("mae-*/seed1")) / "result.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"family": newer.plain()}))
    comparison = compared(tmp_path)
    assert comparison.section.family == newer
    assert comparison.judged == [] and len(comparison.groups) == 3


def test_without_a_baseline_of_the_family_losses_are_compared_with_each_other(tmp_path: Path) -> None:
    comparison = ablation(tmp_path, (MSE, MAE), family=dataclasses.replace(VALUES, baseline=""))
    assert comparison.baseline is None
    (warning,) = comparison.section.warnings
    assert warning.startswith("no baseline; losses are only compared with each other (name one: baseline=m")
    first, *_ = findings(comparison)
    assert first.text.startswith("mae beats every other loss in crps: lower than mse, the next, by")


def test_numbers_that_are_not_those_of_the_result_are_refused(tmp_path: Path) -> None:
    run = values_run(tmp_path, MSE, 0)
    with np.load(run / "predictions.npz") as stored:
        arrays: dict[str, NDArray[Any]] = dict(stored)
    np.savez(run / "predictions.npz", **arrays | {"coverage": 1 - arrays["coverage"]})
    assert read_run(run).note.startswith("predictions.npz: its coverage is 0.")
    np.savez(run / "predictions.npz", **arrays | {"crps": -arrays["crps"]})
    assert read_run(run).note.startswith("predictions.npz: crps has numbers that are not from -1e-06 to inf")


def test_a_root_of_nothing_is_nothing(tmp_path: Path) -> None:
    """No error at all: no division by a root that is 0."""
    run = values_run(tmp_path, MSE, 0)
    with np.load(run / "predictions.npz") as stored:
        arrays: dict[str, NDArray[Any]] = dict(stored)
    np.savez(run / "predictions.npz", **arrays | {"squared_error": np.zeros(300, np.float32)})
    result = json.loads((run / "result.json").read_text())
    for split in ("test", "val"):
        result["metrics"][split] |= {"squared_error": 0.0, "rmse": 0.0}
    (run / "result.json").write_text(json.dumps(result))
    (section,) = sections_of(find_runs([tmp_path]))
    measured = Measurements(section.runs)
    assert measured.means(VALUES.column("rmse")).tolist() == [0]
    assert compared(tmp_path).cells["mse", "rmse"].mean.value == 0
