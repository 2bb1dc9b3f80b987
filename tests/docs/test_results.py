"""The picture of results.md: which rows of a report become which line."""

from pathlib import Path

import numpy as np

from docs.results import accuracies, curves

ROWS = """loss,metric,mean,low,high
ce label_noise=0.2,accuracy,0.8,0.7,0.9
ce label_noise=0,accuracy,0.95,0.9,0.97
ce label_noise=0,nll,0.2,0.1,0.3
ce label_noise=0 best=true,accuracy,0.96,0.91,0.98
symmetric_ce alpha=0.01 label_noise=0.2,accuracy,0.93,0.9,0.95
chance,accuracy,0.1,0.1,0.1
ce label_noise=0.2,accuracy,,,
"""


def test_a_line_for_each_loss_and_epoch(tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    report.write_text(ROWS)
    found = curves(report)
    assert found == {
        ("ce", False): [(0, 0.95, 0.9, 0.97), (0.2, 0.8, 0.7, 0.9)],
        ("ce", True): [(0, 0.96, 0.91, 0.98)],
        ("symmetric_ce", False): [(0.2, 0.93, 0.9, 0.95)],
    }
    handles, labels = accuracies(found).axes[0].get_legend_handles_labels()
    drawn = {label: np.asarray(handle[0].get_ydata()).tolist() for handle, label in zip(handles, labels, strict=True)}
    assert drawn["ce, last epoch"] == [0.95, 0.8]
    assert drawn["ce, best epoch"] == [0.96]
