"""What costs nothing stands below the losses in every table of test metrics, and is never tested."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from src.metrics.columns import Column
from src.report import copies, tables
from src.report.compare import Comparison, compare
from src.report.findings import findings
from src.report.floors import floors, value_of
from src.report.groups import sections_of
from src.report.read import find_runs, read_run
from src.report.rules import signs
from src.report.write import find_baseline, write_report
from tests.report.fabricated import CE, FOCAL, HINGE, Kind, ablation_of, finished
from tests.report.test_damage import EVIL

CHANCE = {"accuracy": 0.2, "nll": math.log(5), "brier": 0.8}


def give(folder: Path, **found: Any) -> None:
    for path in folder.glob("*/seed*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"floors": found}))


def compared(folder: Path) -> Comparison:
    (section,) = sections_of(find_runs([folder]))
    return compare(section, find_baseline(section, None))


def test_floors_stand_below_the_losses(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, FOCAL, HINGE], range(3), n=100)
    before = compared(tmp_path)
    give(tmp_path, chance=CHANCE, nothing={})
    comparison = compared(tmp_path)
    table = tables.results(comparison)
    assert len(table.rows) == 3 and table.rows == tables.results(before).rows, "nothing else changes"
    (row,) = table.floors
    assert [(cell.text, cell.below, cell.tone) for cell in row] == [
        ("chance", "floor", ""),
        *((text, "", "") for text in ("0.2000", "1.6094", "0.8000", "—", "—")),
    ]
    other = tables.other_metrics(comparison)
    (row,) = other.floors
    assert row[other.header.index("perplexity ↓")].text == "5.0000", "e to the nll"
    assert findings(comparison) == findings(before) and comparison.comparisons == before.comparisons
    assert signs(comparison).endswith(" Floors (chance) cost nothing, and are not tested.")


def test_page_markdown_csv_and_copies_have_them(tmp_path: Path) -> None:
    ablation_of(tmp_path / "runs", [CE, FOCAL], range(2), n=100)
    give(tmp_path / "runs", chance=CHANCE)
    (comparison,) = write_report([tmp_path / "runs"], None, tmp_path).comparisons
    page, markdown = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert '<tbody class="floors">' in page and page.count('chance<span class="below">floor</span>') == 2
    assert "| chance<br>floor | 0.2000 | 1.6094 | 0.8000 | — | — |" in markdown
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text())))
    found = {row["metric"]: row for row in rows if row["verdict"] == "floor"}
    assert found.keys() == {"accuracy", "nll", "brier", "perplexity"}
    assert {row["loss"] for row in found.values()} == {"chance"}
    assert float(found["perplexity"]["mean"]) == pytest.approx(5) and not found["perplexity"]["p"]
    latex = copies.latex(tables.results(comparison)).splitlines()
    assert latex[-5].startswith(r"\midrule") and latex[-4].startswith("chance & 0.2000 & 1.6094")
    assert copies.as_csv(tables.results(comparison)).splitlines()[-1] == "chance (floor),0.2000,1.6094,0.8000,—,—"


def test_where_runs_differ_both_ends_are_told(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], range(2), n=100)
    for seed, accuracy in enumerate((0.2, 0.25)):
        path = next(tmp_path.glob(f"ce-*/seed{seed}/result.json"))
        path.write_text(json.dumps(json.loads(path.read_text()) | {"floors": {"mode": {"accuracy": accuracy}}}))
    comparison = compared(tmp_path)
    assert floors(comparison) == {"mode": {"accuracy": (0.2, 0.25)}}
    assert tables.results(comparison).floors[0][1].text == "0.2000 to 0.2500"


def test_losses_that_are_no_better_are_named(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("poor", skill=0.4)], range(3), n=400)
    good, poor = (compared(tmp_path).cells[label, "accuracy"].mean.value for label in ("ce", "poor"))
    assert good > poor + 0.1
    give(tmp_path, mode={"accuracy": poor + 0.01, "nll": 0.001}, chance=CHANCE)
    answers = [finding.text for finding in findings(compared(tmp_path)) if not finding.remark]
    assert answers[-2:] == ["poor is no better than mode in accuracy.", "ce and poor are no better than mode in nll."]


def test_a_value_is_made_of_its_source() -> None:
    assert value_of(Column("bits", source="nll", factor=1 / math.log(2)), {"nll": math.log(8)}) == pytest.approx(3)
    assert value_of(Column("rmse", source="mse", root=True), {"mse": 9.0}) == 3
    assert value_of(Column("rmse", source="mse", root=True), {"mse": 9.0, "rmse": 2.0}) == 2
    assert math.isnan(value_of(Column("rmse", source="mse", root=True), {"mse": None}))
    assert value_of(Column("perplexity", source="nll", exponential=True), {"nll": 1e4}) == math.inf


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([1], "floors should be a mapping"),
        ({"chance": 3}, "floors.chance should be a mapping"),
        ({"chance": {"accuracy": 2}}, "floors.chance.accuracy should be from -1e-06 to 1"),
        ({"chance": {"luck": "much"}}, "floors.chance.luck should be a number"),
        ({"x" * 61: {}}, "floors should be a mapping of at most 20 names"),
        ({str(i): {} for i in range(21)}, "floors should be a mapping of at most 20 names"),
    ],
)
def test_what_are_no_floors_is_refused(given: Any, reason: str, tmp_path: Path) -> None:
    path = finished(tmp_path, CE, 0, n=50) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"floors": given}))
    assert read_run(path.parent).note.startswith(f"result.json: {reason}")


def test_a_name_does_nothing_in_the_page(tmp_path: Path) -> None:
    ablation_of(tmp_path / "runs", [CE], range(2), n=50)
    give(tmp_path / "runs", **{EVIL[:60]: CHANCE, "=1+1": {"accuracy": math.nan, "nll": 0.5}})
    write_report([tmp_path / "runs"], None, tmp_path)
    assert EVIL[:60] not in (tmp_path / "report.html").read_text()
    assert "'=1+1" in (tmp_path / "report.csv").read_text()


def test_nobody_is_told_to_be_no_better_than_a_ceiling(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, FOCAL], range(3), n=100)
    give(tmp_path, mode={"accuracy": 1.0}, top={"accuracy": 1.0})
    for path in tmp_path.glob("*/seed*/result.json"):
        result = json.loads(path.read_text())
        result["family"]["ceilings"] = ["top"]
        path.write_text(json.dumps(result))
    told = [finding.text for finding in findings(compared(tmp_path), [])]
    assert any("no better than mode" in text for text in told) and not any("than top" in text for text in told)
