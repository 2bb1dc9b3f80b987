"""Losses under shift, from what evaluate.py left in the runs' folders."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml

from src.report.compare import compare
from src.report.groups import sections_of
from src.report.read import find_runs
from src.report.shift import Shifts
from src.report.write import find_baseline, write_report
from tests.report.fabricated import CE, FOCAL, HINGE, ablation_of


def evaluate(run: Path, values: dict[tuple[str, int], float], name: str = "shift_noise", **more: Any) -> None:
    """As ``evaluate.py RUN shift=...`` writes it; ``values``: accuracy by kind and severity."""
    rows = [{"shift": k, "severity": s, "accuracy": v, "nll": 1 - v, "ece": None} for (k, s), v in values.items()]
    data = yaml.safe_load((run / "config.yaml").read_text())["data"]
    (run / "evaluations").mkdir(exist_ok=True)
    content = {"data": data, "weights_sha256": "0" * 64, "shift": rows} | more
    (run / f"evaluations/{name}.json").write_text(json.dumps(content))


def shifts_of(folder: Path) -> Shifts:
    (section,) = sections_of(find_runs([folder]))
    return Shifts(compare(section, find_baseline(section, None)))


def test_means_over_kinds_then_seeds(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, FOCAL, HINGE], range(3), n=50)
    for i, run in enumerate(sorted(tmp_path.glob("ce-*/seed*"))):
        evaluate(run, {("clean", 0): 0.9, ("noise", 1): 0.8 - i / 10, ("noise", 3): 0.5})
        evaluate(run, {("clean", 0): 0.9, ("blur", 1): 0.6, ("blur", 3): 0.3}, "shift_blur")
    run = next(tmp_path.glob("focal-*/seed1"))
    evaluate(
        run,
        dict.fromkeys((("clean", 0), ("noise", 1), ("noise", 3), ("blur", 1), ("blur", 3), ("rotate", 1)), 0.7),
    )
    shifts = shifts_of(tmp_path)
    assert (shifts.kinds, shifts.severities, shifts.notes) == (["blur", "noise"], [1, 3], [])
    curve = shifts.curves("accuracy", ["ce", "focal", "hinge"])
    assert curve.keys() == {"ce", "focal"}
    assert curve["ce"].steps == [0, 1, 3]
    assert curve["ce"].mean == pytest.approx([0.9, fmean([0.7, 0.65, 0.6]), 0.4])
    assert (curve["ce"].low[1], curve["ce"].high[1]) == pytest.approx((0.6, 0.7))
    nll, accuracy = shifts.tables()
    assert (nll.title, accuracy.title) == ("nll under shift", "accuracy under shift"), "ece was told of no run"
    assert accuracy.header == ["loss", "seeds", "clean", "1", "3"]
    assert [[cell.text for cell in row] for row in accuracy.rows] == [
        ["ce", "3", "0.9000", "0.6500", "0.4000"],
        ["focal", "1 of 3", "0.7000", "0.7000", "0.7000"],
        ["hinge", "0 of 3", "—", "—", "—"],
    ]
    assert nll.rows[0][2].text == "0.1000"
    page = (write_report([tmp_path], None, None).out / "report.html").read_text()
    assert "Under shift" in page and "accuracy under shift" in page


def test_what_is_of_other_data_or_weights_or_damaged_is_left_out(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE], range(3), n=50)
    values = {("clean", 0): 0.9, ("noise", 1): 0.8}
    runs = sorted(tmp_path.glob("ce-*/seed*"))
    evaluate(runs[0], values, data={"other": True})
    evaluate(runs[1], values | {("noise", -1): 0.5})
    result = json.loads((runs[2] / "result.json").read_text())
    result["run"]["sha256"] = {"weights.safetensors": "1" * 64}
    (runs[2] / "result.json").write_text(json.dumps(result))
    evaluate(runs[2], values)
    shifts = shifts_of(tmp_path)
    assert shifts.kinds == [] and shifts.tables() == []
    (note,) = shifts.notes
    assert note.startswith(f"{runs[1]}: shift_noise.json: shift[2].severity should be a whole number from 0")
    assert "Under shift" not in (write_report([tmp_path], None, None).out / "report.html").read_text()
