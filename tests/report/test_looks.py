"""The report of an ablation that was trained until one metric was decided: its decisions are the only ones there."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from src.report.groups import SEQUENTIAL, Section, sections_of
from src.report.headline import headline
from src.report.looks import find_decided
from src.report.read import find_runs
from src.report.sequential import EQUAL, Plan, Verdict, looks, plain, runs_of
from src.report.write import told, write_report
from src.system.files import write_yaml
from tests.report.fabricated import CE, FOCAL, Kind, ablation_of

pytestmark = pytest.mark.usefixtures("no_pictures")

SLIGHT, GOOD = Kind("poly1", skill=1.005), Kind("brier", skill=1.6)
SEEDS = tuple(range(7))
PLAN = Plan("nll", "ce", ("focal", "brier", "poly1"), SEEDS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ablation_of(tmp_path_factory.mktemp("looks"), [CE, FOCAL, GOOD, SLIGHT], SEEDS, n=120)


def decisions(runs: Path, plan: Plan) -> dict[str, Verdict]:
    """Label -> the last verdict, as a sweep finds it; ``sequential.yaml`` is written."""
    found = looks(plan, runs_of((path, path.parent.name.rpartition("-")[0]) for path in sorted(runs.glob("*/seed*"))))
    write_yaml(runs / SEQUENTIAL, plain(plan, found))
    return {verdict.label: verdict for look in found for verdict in look.verdicts}


def rows(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    with (out / "report.csv").open() as file:
        return {(row["loss"], row["metric"]): row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        pytest.param(replace(PLAN, margin=0.2), marks=pytest.mark.slow),
        pytest.param(replace(PLAN, metric="ece"), marks=pytest.mark.slow),
    ],
)
def test_every_place_says_the_decisions(runs: Path, tmp_path: Path, plan: Plan) -> None:
    (runs / SEQUENTIAL).unlink(missing_ok=True)
    write_report([runs], None, tmp_path / "plain")
    last = decisions(runs, plan)
    written = write_report([runs], None, tmp_path / "decided", margin=f"{plan.metric}:0.2" if plan.margin else None)
    table, before = rows(tmp_path / "decided"), rows(tmp_path / "plain")
    (comparison,) = written.comparisons
    others = [column for column in comparison.judged if column.name != plan.metric]
    assert comparison.comparisons == 3 * len(others) and comparison.pair_comparisons == 6 * len(others)
    words = {verdict.word for verdict in last.values()}
    assert words >= ({EQUAL} if plan.margin else {"no difference shown"})
    assert "better" in words or plan.metric == "ece"
    for label, end in last.items():
        row, span = table[label, plan.metric], end.span
        assert span is not None
        numbers = [float(row[name]) for name in ("difference", "difference_low", "difference_high", "p")]
        assert numbers == pytest.approx([span.value, span.low, span.high, span.p], rel=1e-9)
        assert int(row["common_seeds"]) == end.n and row["beats_every_other"] == ""
        assert row["verdict"] == {EQUAL: "equal"}.get(end.word, end.word)
        assert (float(row["p_holm"]) <= 0.05) == (row["verdict"] in ("better", "worse"))
        assert row["command"] in ("", "none: all looks are taken")
        for column in others:  # the same numbers, corrected for as many comparisons as are left
            same = ("mean", "low", "high", "difference", "difference_low", "difference_high", "p")
            assert [table[label, column.name][key] for key in same] == [before[label, column.name][key] for key in same]
    for suffix in ("md", "html"):
        text = (tmp_path / "decided" / f"report.{suffix}").read_text()
        assert f"trained until {plan.metric} was decided against ce (until=verdict, at most 7 seeds)" in text
        assert f"What is said of other metrics does not, as {plan.metric} chose their seeds." in text
        assert f"The difference of a loss in {plan.metric} is that of its last look." in text
        assert f"comparisons with ce ({', '.join(c.name for c in others[:-1])} and {others[-1].name})" in text


@pytest.mark.slow
def test_perplexity_is_nll_in_another_unit(runs: Path, tmp_path: Path) -> None:

    last = decisions(runs, PLAN)
    write_report([runs], None, tmp_path)
    table = rows(tmp_path)
    for label, end in last.items():
        row = table[label, "perplexity"]
        assert end.span is not None and row["verdict"] == "" and row["seeds_needed"] == ""
        found = [math.log(float(row[key])) for key in ("difference", "difference_low", "difference_high")]
        assert found == pytest.approx([end.span.value, end.span.low, end.span.high], rel=1e-9)


@pytest.mark.slow
def test_no_loss_beats_the_others_by_pairs_that_took_no_account_of_looks(tmp_path: Path) -> None:
    """Where pairs would say it, in the metric that decided; two losses, of which the other is worse."""
    home = ablation_of(tmp_path / "runs", [CE, GOOD], SEEDS, n=120)
    before = write_report([home], None, tmp_path / "plain")
    assert before.comparisons[0].best["nll"] == "brier"
    decisions(home, Plan("nll", "ce", ("brier",), SEEDS))
    (comparison,) = write_report([home], None, tmp_path / "decided").comparisons
    assert "nll" not in comparison.best and "accuracy" in comparison.best
    told = headline(comparison)
    assert told is not None and "lower nll" not in told.answer and "In nll, brier is better than ce." in told.rest
    assert told.sure.endswith("seeds a loss, trained until nll was decided, at most 7.")


@pytest.mark.slow
def test_more_seeds_than_were_looked_at_change_nothing(runs: Path, tmp_path: Path) -> None:
    """Those of a loss that was decided, and those beyond the plan."""
    last = decisions(runs, replace(PLAN, seeds=SEEDS[:5]))
    write_report([runs], None, tmp_path)
    for label, end in last.items():
        row = rows(tmp_path)[label, "nll"]
        assert end.span is not None and float(row["difference_low"]) == pytest.approx(end.span.low, rel=1e-9)
        assert (row["seeds"], int(row["common_seeds"])) == ("7", end.n) and end.n <= 5


@pytest.mark.slow
def test_an_open_comparison_is_not_decided_yet(tmp_path: Path) -> None:
    """A sweep that was stopped after its first look."""
    home = ablation_of(tmp_path / "runs", [CE, SLIGHT], range(4), n=120)
    decisions(home, Plan("nll", "ce", ("poly1",), SEEDS))
    written = write_report([home], None, tmp_path / "out")
    assert "not decided yet after 3 seeds: poly1" in "".join(told(written)).lower()
    row = rows(tmp_path / "out")["poly1", "nll"]
    assert (row["common_seeds"], row["verdict"]) == ("3", "no difference shown")
    assert row["command"] == "the sweep's command again"


def section_of(*folders: Path) -> Section:
    (section,) = [section for section in sections_of(find_runs(folders)) if section.runs]
    return section


@pytest.mark.slow
def test_what_does_not_fit_the_plan_is_said(runs: Path, tmp_path: Path) -> None:
    """Another baseline, other runs beside, a file that nobody can read, another margin."""
    decisions(runs, PLAN)
    mixed = section_of(runs, ablation_of(tmp_path / "beside", [CE], [8], n=120))
    for section, baseline in ((section_of(runs), "focal"), (mixed, "ce")):
        assert find_decided(section, section.find(baseline)[0]) is None
        (warning,) = [text for text in section.warnings if "until=verdict" in text]
        assert "trained until nll was decided against ce (until=verdict), and no test of this report takes" in warning
    good = yaml.safe_load((runs / SEQUENTIAL).read_text())
    for damage in ("{", yaml.dump(good | {"seeds": "all"}), json.dumps(good | {"metric": 3})):
        (runs / SEQUENTIAL).write_text(damage)
        section = section_of(runs)
        assert find_decided(section, section.find("ce")[0]) is None
        assert "it is not known when its runs were compared (sequential.yaml: " in "".join(section.warnings)


@pytest.mark.slow
def test_a_margin_is_named_before(runs: Path, tmp_path: Path) -> None:
    decisions(runs, PLAN)
    (comparison,) = write_report([runs], None, tmp_path, margin="nll:5,accuracy:0.9").comparisons
    assert any("nll was decided without a margin" in text for text in comparison.section.warnings)
    assert comparison.margins == {"accuracy": 0.9}
    assert rows(tmp_path)["poly1", "nll"]["p_equal"] == ""
