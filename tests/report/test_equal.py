"""margin=: what is equal, what the report says of it on each surface, and what it refuses."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.config.errors import UserError
from src.report.headline import headline
from src.report.write import told, write_report
from tests.conftest import ROOT
from tests.report.fabricated import CE, Kind, ablation_of

pytestmark = pytest.mark.usefixtures("no_pictures")

GOOD = Kind("good", skill=1.6)
ALIKE = Kind("alike")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ablation_of(tmp_path_factory.mktemp("equal"), [CE, ALIKE, GOOD], range(5), n=150)


def rows(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (out / "report.csv").open() as file:
        return {(row["loss"], row["metric"]): row for row in csv.DictReader(file)}


def test_without_a_margin_nothing_is_equal(runs: Path, tmp_path: Path) -> None:
    written = write_report([runs], None, tmp_path)
    assert not any("equal" in text for text in told(written))
    assert not any("equal" in row["verdict"] or row["p_equal"] for row in rows(tmp_path).values())


def test_a_wide_margin_makes_equal_and_a_narrow_one_does_not(runs: Path, tmp_path: Path) -> None:
    wide = write_report([runs], None, tmp_path / "wide", margin="accuracy:0.2")
    row = rows(tmp_path / "wide")["alike", "accuracy"]
    assert (row["verdict"], row["margin"]) == ("equal", "0.2") and float(row["p_equal"]) <= 0.05
    assert row["seeds_needed"] == "", "what is equal is decided"
    for suffix in ("html", "md"):
        assert "equal within ±0.2" in (tmp_path / "wide" / f"report.{suffix}").read_text()
    assert any("alike is equal to ce in accuracy within ±0.2" in text for text in told(wide))
    assert rows(tmp_path / "wide")["alike", "nll"]["p_equal"] == ""
    write_report([runs], None, tmp_path / "narrow", margin="accuracy:0.0001")
    row = rows(tmp_path / "narrow")["alike", "accuracy"]
    assert row["verdict"] == "no difference shown" and float(row["p_equal"]) > 0.05


def test_a_shown_difference_stays_shown_within_a_margin(runs: Path, tmp_path: Path) -> None:
    write_report([runs], None, tmp_path, margin="accuracy:0.5")
    assert rows(tmp_path)["good", "accuracy"]["verdict"] == "better"
    assert "better, within ±0.5" in (tmp_path / "report.md").read_text()


def test_what_is_undecided_has_a_plan_on_every_surface(runs: Path, tmp_path: Path) -> None:
    (comparison,) = write_report([runs], None, tmp_path).comparisons
    table = rows(tmp_path)
    shown = (tmp_path / "report.html").read_text()
    for (loss, metric), row in table.items():
        judged = row["p_holm"] != ""
        undecided = judged and float(row["p_holm"]) > 0.05
        assert bool(row["smallest_shown"]) is undecided
        if undecided:
            assert float(row["seeds_low"]) <= float(row["seeds_needed"]) <= float(row["seeds_high"])
            assert (row["test_set_too_small"] == "yes") <= (row["seeds_needed"] == "inf")
            assert abs(float(row["difference"])) < float(row["smallest_shown"]), (loss, metric)
    first = headline(comparison)
    assert first is not None and "good" in first.answer
    assert "What is not decided" in shown and all(text in shown for text in (first.answer, first.rest, first.sure))


@pytest.mark.parametrize(
    ("margin", "why"),
    [
        ("speed:0.1", "no metric 'speed' is tested; there are accuracy, nll, brier, nll_refinement, ece, ece_ts"),
        ("perplexity:0.1", "no metric 'perplexity' is tested"),
        ("accuracy:-0.1", "the margin of accuracy should be a number above 0, not '-0.1'"),
        ("accuracy:0", "should be a number above 0"),
        ("accuracy:nan", "should be a number above 0"),
        ("accuracy:inf", "should be a number above 0"),
        ("accuracy:much", "the margin of accuracy should be a number above 0, not 'much'"),
        ("accuracy:0.1,accuracy:0.2", "accuracy has two margins"),
        ("accuracy:0,005", "a decimal is written with a dot: 0.005, not 0,005"),
        ("nll:0.01, accuracy: 0,5", "a decimal is written with a dot: 0.5, not 0,5"),
        ("accuracy", "'accuracy' is no METRIC:SIZE"),
        ("accuracy=0.005", "'accuracy=0.005' is no METRIC:SIZE"),
        ("accuracy:0.1,", "'' is no METRIC:SIZE"),
    ],
)
def test_a_bad_margin_is_one_message(runs: Path, tmp_path: Path, margin: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        write_report([runs], None, tmp_path / "out", margin=margin)
    assert why in str(error.value) and not (tmp_path / "out").exists()


def test_a_bad_margin_ends_with_status_2(runs: Path, tmp_path: Path) -> None:
    words = [sys.executable, "report.py", str(runs), f"out={tmp_path / 'out'}", "margin=accuracy:-1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_an_ablation_brings_its_margin(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, ALIKE], range(5), n=150, ablation="mine")
    jobs = [
        {"label": path.parent.name.split("-")[0], "seed": int(path.name[4:]), "folder": str(path.relative_to(tmp_path))}
        for path in tmp_path.glob("*/seed*")
    ]
    sweep = {"baseline": "ce", "jobs": [{**job, "overrides": ["a=b"]} for job in jobs]}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep | {"margin": "accuracy:0.2"}))
    assert rows(write_report([tmp_path], None, tmp_path / "a").out)["alike", "accuracy"]["verdict"] == "equal"
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep | {"margin": "speed:0.2"}))
    lines = list(told(write_report([tmp_path], None, tmp_path / "b")))
    assert any("the sweep's margin is not used: no metric 'speed' is tested" in text for text in lines)
