"""What the comparison says of runs with known differences."""

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from src.report.compare import Comparison, compare
from src.report.figures import curves_of, pooled
from src.report.findings import findings
from src.report.groups import sections_of
from src.report.measure import ALONE
from src.report.read import find_runs
from src.report.tables import as_csv
from tests.report.fabricated import BRIER, CE, FOCAL, HINGE, Kind, ablation_of, ended, finished


def compared(folder: Path, baseline: str = "ce") -> Comparison:
    (section,) = sections_of(find_runs([folder]))
    found = section.find(baseline)
    return compare(section, found[0] if found else None)


def told(result: Comparison) -> dict[str, str]:
    """What is found, by metric; the remarks together."""
    of = findings(result)
    answers = {finding.metric: finding.text for finding in of if not finding.remark}
    remarks = " ".join(finding.text for finding in of if finding.remark)
    return answers | ({"remarks": remarks} if remarks else {})


def test_means_and_differences_are_those_of_the_results(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, FOCAL], range(4))
    result = compared(tmp_path)
    values = {}
    for loss in ("ce", "focal"):
        files = sorted(tmp_path.glob(f"{loss}-*/seed*/result.json"))
        values[loss] = np.array([json.loads(file.read_text())["metrics"]["test"]["nll"] for file in files])
    cell = result.cells["focal", "nll"]
    assert cell.mean.n == 4
    assert cell.mean.value == pytest.approx(values["focal"].mean(), abs=1e-12)
    assert cell.difference is not None
    assert cell.difference.value == pytest.approx((values["focal"] - values["ce"]).mean(), abs=1e-12)
    # the finite test set widens what seeds alone would say
    alone = stats.t.interval(0.95, 3, values["ce"].mean(), stats.sem(values["ce"]))
    mean = result.cells["ce", "nll"].mean
    assert mean.high - mean.low > 1.2 * (alone[1] - alone[0])
    perplexity = result.cells["focal", "perplexity"]
    assert perplexity.mean.low == pytest.approx(math.exp(cell.mean.low))
    assert perplexity.difference is not None
    assert perplexity.difference.high == pytest.approx(math.exp(cell.difference.high))


def test_a_clear_winner_wins(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6), Kind("bad", skill=0.7)], range(5))
    result = compared(tmp_path)
    assert result.best["accuracy"] == result.best["nll"] == "good"
    assert (result.comparisons, result.pair_comparisons) == (2 * 5, 3 * 5)  # accuracy, nll, brier, ece, ece_ts
    words = told(result)
    assert re.match(
        r"good has a lower nll than ce \(nll \N{MINUS SIGN}.*\); bad has a higher nll \(nll \+", words["nll"]
    )
    assert words["nll"].endswith("; good beats every other loss, pair by pair.")
    assert words["accuracy"].startswith("good is more accurate than ce (accuracy +")
    assert all(finding.shown for finding in findings(result) if finding.metric in ("accuracy", "nll"))
    without = told(compared(tmp_path, "no such loss"))
    assert re.match(r"good beats every other loss in nll: lower than ce, the next, by 0\.\d+ \(95 %", without["nll"])
    assert without["accuracy"].startswith("good beats every other loss in accuracy: higher than ce, the next, by ")


def test_equal_losses_have_no_winner(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("other"), Kind("third")], range(5))
    result = compared(tmp_path)
    assert result.best == {}
    assert not any(cell.significant for cell in result.cells.values())
    assert not any(finding.shown for finding in findings(result))
    assert "beats" not in " ".join(told(result).values())
    assert told(compared(tmp_path, "no such loss")) == {
        "": "No loss is shown to beat every other in accuracy, nll, ece or ece after temperature scaling."
    }


def test_no_probabilities_no_numbers_and_no_defeat(tmp_path: Path) -> None:
    """What hinge does not give neither counts in Holm's family nor keeps a winner from winning."""
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6), HINGE], range(5))
    result = compared(tmp_path)
    assert ("hinge", "accuracy") in result.cells
    assert not any(("hinge", name) in result.cells for name in ("nll", "perplexity", "brier", "ece", "temperature"))
    assert result.best["nll"] == "good"
    assert result.comparisons == 2 + 4
    assert told(result)["remarks"] == "hinge gives no probabilities: no nll, brier, ece or ece_ts."


def test_one_seed_gives_intervals_and_no_verdict(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6)], [0])
    result = compared(tmp_path)
    cell = result.cells["good", "accuracy"]
    n, p = 400, cell.mean.value
    for end in (cell.mean.low, cell.mean.high):  # Wilson's: the shares from which p is just so far
        t = abs(p - end) / math.sqrt(end * (1 - end) / (n - 1))
        assert t == pytest.approx(stats.t.ppf(0.975, n - 1), rel=1e-6)
    assert cell.difference is not None and cell.difference.p < 1e-3 and not cell.significant
    assert result.best == {}
    assert told(result) == {
        "": "No verdict on these 2 losses: one seed in common tells two networks apart, not two losses."
        " At least 3 are needed."
    }


def test_two_seeds_give_intervals_and_no_verdict(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6)], [0, 1])
    result = compared(tmp_path)
    cell = result.cells["good", "nll"]
    assert cell.difference is not None and cell.difference.low < cell.difference.value < cell.difference.high
    assert math.isnan(cell.adjusted) and not cell.significant
    assert (result.best, result.comparisons, result.pair_comparisons) == ({}, 0, 0)
    no_verdict = "No verdict on these 2 losses: two seeds in common are too few. At least 3 are needed."
    assert told(result) == {"": no_verdict}
    rows = list(csv.DictReader(io.StringIO(as_csv([result]))))
    assert all(row["p"] == row["p_holm"] == row["verdict"] == "" for row in rows)


def given(folder: Path, kind: Kind, nll: list[float]) -> None:
    """Runs with these test nll by seed, all else the same, and nothing known of the test examples."""
    for seed, value in enumerate(nll):
        run = finished(folder, kind, seed)
        (run / "predictions.npz").unlink()
        result = json.loads((run / "result.json").read_text())
        result["metrics"]["test"] |= {"accuracy": 0.9, "brier": 0.2, "ece": 0.05, "nll": value}
        (run / "result.json").write_text(json.dumps(result))


GOOD, LUCKY = Kind("good"), Kind("lucky")


def test_one_seed_costs_the_others_nothing(tmp_path: Path) -> None:
    """By hand: the differences of nll are -0.91, -0.8, -0.69, so t = -0.8 / (0.11 / sqrt(3)), t^2 = 1.92 / 0.0121, and
    with two degrees of freedom p = 1 - |t| / sqrt(t^2 + 2). Holm is over three metrics of the one pair (ece needs
    examples), not over nine of three pairs, with which 9 p would be 0.056."""
    given(tmp_path, CE, [1.0, 1.0, 1.0])
    given(tmp_path, GOOD, [0.09, 0.2, 0.31])
    given(tmp_path, LUCKY, [0.01])
    p = 1 - math.sqrt(1.92 / (1.92 + 2 * 0.0121))
    assert 3 * p < 0.05 < 9 * p
    result = compared(tmp_path)
    assert (result.comparisons, result.pair_comparisons) == (3, 3)
    cell = result.cells["good", "nll"]
    assert cell.difference is not None
    assert (cell.difference.p, cell.adjusted) == (pytest.approx(p, abs=1e-9), pytest.approx(3 * p, abs=1e-9))
    assert result.best == {"nll": "good"}
    words = told(result)
    assert words["nll"] == "good has a lower nll than ce (nll \N{MINUS SIGN}0.80 ± 0.27)."
    assert words["remarks"] == "lucky has one seed in common with ce, too few for a verdict."
    assert words["accuracy"] == "good is not shown to differ from ce in accuracy."


def test_a_baseline_of_one_seed_leaves_the_others_their_verdict(tmp_path: Path) -> None:
    given(tmp_path, CE, [1.0, 1.0, 1.0])
    given(tmp_path, GOOD, [0.09, 0.2, 0.31])
    given(tmp_path, LUCKY, [0.01])
    result = compared(tmp_path, "lucky")
    assert result.comparisons == 0 and not any(cell.significant for cell in result.cells.values())
    assert result.best == {"nll": "good"}
    words = told(result)
    assert (
        words["nll"]
        == "good beats every other loss in nll: lower than ce, the next, by 0.80 (95 % interval 0.53 to 1.07)."
    )
    assert words["remarks"] == "ce and good have one seed in common with lucky, too few for a verdict."


def test_seeds_that_no_other_loss_has(tmp_path: Path) -> None:
    """Three seeds, but none in common: left out like one seed. Where that leaves no pair, there is no verdict."""
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6)], range(5))
    ablation_of(tmp_path, [FOCAL, BRIER], [7])
    ablation_of(tmp_path, [HINGE], [8, 9, 10])
    result = compared(tmp_path)
    assert result.best["accuracy"] == "good"
    words = told(result)
    assert words["accuracy"].startswith("good is more accurate than ce (")
    assert {
        "hinge gives no probabilities: no nll, brier, ece or ece_ts.",
        "brier, focal and hinge have no seed in common with ce, too few for a verdict.",
    } == {finding.text for finding in findings(result) if finding.remark}
    lonely = ablation_of(tmp_path / "lonely", [CE], range(5))
    ablation_of(lonely, [FOCAL], [7])
    assert told(compared(lonely))[""].startswith("No verdict on these 2 losses: the losses have no seed in common. ")


def test_one_loss_is_compared_with_nothing(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], range(3))
    result = compared(tmp_path)
    assert told(result)[""].startswith("Only ce is finished, and there is nothing to compare it with (accuracy 0.")


def test_unequal_seeds_are_compared_on_common_ones(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], [0, 1, 2, 3])
    ablation_of(tmp_path, [BRIER], [2, 3, 4])
    ablation_of(tmp_path, [FOCAL], [7])
    result = compared(tmp_path)
    cell = result.cells["brier", "nll"]
    assert cell.difference is not None
    assert (cell.mean.n, cell.difference.n) == (3, 2)
    assert result.cells["focal", "nll"].difference is None
    assert told(result)[""].startswith("No verdict on these 3 losses: two seeds in common are too few.")


def test_failed_runs_do_not_count(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, BRIER], range(2))
    ended(tmp_path, FOCAL, 0, "failed", error="boom")
    result = compared(tmp_path)
    assert [group.label for group in result.groups] == ["ce", "brier"]  # the baseline first


def test_without_predictions_the_interval_is_over_seeds(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, BRIER], range(3))
    for path in tmp_path.glob("ce-*/seed*/predictions.npz"):
        path.unlink()
    result = compared(tmp_path)
    values = [run.metric("test", "nll") or 0.0 for group in result.groups if group.loss == "ce" for run in group.runs]
    alone = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (result.cells["ce", "nll"].mean.low, result.cells["ce", "nll"].mean.high) == pytest.approx(alone)
    assert len(result.notes) == 3 and "predictions.npz" in result.notes[0]


def test_other_test_examples_are_not_paired(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], range(3), n=400)
    ablation_of(tmp_path, [BRIER], range(3), n=300)
    assert compared(tmp_path).notes == [f"the runs were not tested on the same examples: {ALONE}"]


def test_a_run_that_diverged_keeps_its_place(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, BRIER], range(3))
    path = next(tmp_path.glob("brier-*/seed1/result.json"))
    result = json.loads(path.read_text())
    result["metrics"]["test"] |= {"nll": math.inf, "perplexity": math.inf}
    path.write_text(json.dumps(result))
    found = compared(tmp_path)
    cell = found.cells["brier", "nll"]
    assert cell.mean.value == math.inf and math.isnan(cell.mean.low)
    assert not cell.significant
    assert cell.word(found.judged[1]) == "" and "nll" not in told(found)
    assert told(found)["remarks"].startswith("brier: not tested in nll, because a value is infinite or ")


def test_bins_of_seeds_are_pooled_by_counts(tmp_path: Path) -> None:
    """As if all seeds' predictions were one file."""
    ablation_of(tmp_path, [CE], range(3))
    group = compared(tmp_path).groups[0]
    pool = pooled(group)
    assert pool is not None
    files = [np.load(path) for path in tmp_path.glob("ce-*/seed*/predictions.npz")]
    log_probs, targets = (np.concatenate([file[name] for file in files]) for name in ("log_probs", "targets"))
    confidence, right = np.exp(log_probs.astype(float)).max(1), log_probs.argmax(1) == targets
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        assert abs(pool["count"][b] - inside.sum()) <= 1  # float32 at an edge
        if inside.sum() > 1:
            assert pool["accuracy"][b] == pytest.approx(right[inside].mean(), abs=0.02)
        elif not inside.any():
            assert pool["accuracy"][b] is None


def test_curves_are_of_the_steps_that_all_seeds_have(tmp_path: Path) -> None:
    for seed, values in ((0, {10: 3.0, 20: 1.0, 30: 0.5}), (1, {10: 5.0, 20: 2.0})):
        run = finished(tmp_path, CE, seed)
        rows = [f"{step},0,{step},val/nll,{value}\n" for step, value in values.items()]
        (run / "metrics.csv").write_text("step,epoch,samples_seen,tag,value\n" + "".join(rows))
    curve = curves_of(compared(tmp_path).groups[0])["val/nll"]
    assert (curve.steps, curve.mean, curve.low, curve.high) == ([10, 20], [4.0, 1.5], [3.0, 1.0], [5.0, 2.0])
