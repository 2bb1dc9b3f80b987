"""Runs for debugging in a report: listed, and compared with nothing."""

from pathlib import Path
from typing import Any

import yaml

from src.report.write import write_report
from tests.report.fabricated import CE, FOCAL, Kind, ablation_of, finished
from tests.report.test_read import sweep

Plain = dict[str, Any]


def test_runs_for_debugging_are_listed_in_one_line_and_change_nothing(tmp_path: Path) -> None:
    """Old ones lie among the others: their configuration tells. The intervals are those without them."""
    ablation_of(tmp_path / "a", [CE, FOCAL], range(3))
    _, (alone,), *_ = write_report([tmp_path / "a"], None, tmp_path / "out")
    before = repr(alone.cells)  # with NaN, which equals nothing
    changes: tuple[tuple[str, Plain], ...] = (
        ("overfit", {"choices": {"debug": "overfit"}}),
        ("smoke", {"choices": {"trainer": "smoke"}}),
        ("limited", {"trainer": {"limit_eval_batches": 2}}),
    )
    for loss, change in changes:
        run = finished(tmp_path / "a", Kind(loss, skill=9), 0, n=30)  # of another test set
        config = yaml.safe_load((run / "config.yaml").read_text())
        config |= {key: config[key] | value for key, value in change.items()}
        (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    out, (comparison,), _, (note,), _ = write_report([tmp_path / "a"], None, tmp_path / "out")
    assert repr(comparison.cells) == before
    assert comparison.notes == [] and comparison.section.warnings == []
    assert note == (
        "3 runs are for debugging and not compared: trainer.limit_eval_batches=2 (1), debug=overfit (1) and"
        " trainer=smoke (1)"
    )
    for page in ("report.html", "report.md"):
        assert f"{note}." in (out / page).read_text()


def test_only_runs_for_debugging_are_still_a_report(tmp_path: Path) -> None:
    """Of a sweep with debug=, what it has not run is no result that is missing."""
    run = finished(tmp_path, CE, 0, ablation="a")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["choices"]["debug"] = "fast"
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    sweep(tmp_path, [("ce", 0, run), ("ce", 1, None)], "ce")
    text = (tmp_path / "sweep.yaml").read_text()
    (tmp_path / "sweep.yaml").write_text(text.replace("- folder:", "- debugging: debug=fast\n  folder:"))
    written = write_report([tmp_path], None, None)
    assert written.notes == ["2 runs are for debugging and not compared: debug=fast (2)"]
    assert written.notes[0] in (written.out / "report.html").read_text()
