"""A report of contrastive runs: the verdict is the probe's, and what learnt nothing stands below the losses."""

import json
from pathlib import Path

import numpy as np

from src.metrics.families import CONTRASTIVE
from src.report import tables
from src.report.compare import compare
from src.report.findings import findings
from src.report.groups import sections_of
from src.report.read import find_runs
from src.report.write import find_baseline
from tests.report.fabricated import Kind, run_of, started

FLOORS = {"raw pixels": {"probe": 0.83, "knn": 0.81}, "chance": {"probe": 0.1, "knn": 0.1}}


def test_the_probe_decides_and_raw_pixels_are_the_floor(tmp_path: Path) -> None:
    """Of 500 images nt_xent reads 70 in 100 and supcon 90, whatever the seed."""
    for loss, share in (("nt_xent", 0.7), ("supcon", 0.9)):
        for seed in range(3):
            path = started(tmp_path, Kind(loss), seed)
            rng, hard = np.random.default_rng([seed, *loss.encode()]), np.random.default_rng(1).random(500)
            right = (hard + 0.02 * rng.standard_normal(500) < share).astype(np.float32)
            columns = {
                "probe": right,
                "probe10": right,
                "knn": right,
                "nll": 1.5 - right,
                "confidence": 0 * right + 0.8,
            }
            np.savez(path / "predictions.npz", targets=np.zeros(500, np.int32), **columns)
            test = {name: float(column.mean()) for name, column in columns.items()}
            result = {"status": "finished", "family": CONTRASTIVE.plain(), "metrics": {"test": test, "val": test}}
            result |= {"floors": FLOORS, "steps": 3, "notes": [], "run": run_of(1.0)}
            (path / "result.json").write_text(json.dumps(result))
            (path / "metrics.csv").write_text("step,epoch,samples_seen,tag,value\n3,0,3,val/knn,0.5\n")
    (section,) = sections_of(find_runs([tmp_path]))
    comparison = compare(section, find_baseline(section, None))
    texts = [finding.text for finding in findings(comparison)]
    assert texts[0].startswith("supcon has a better probe than nt_xent (probe +0.1")
    assert any("nt_xent is no better than raw pixels in probe" in text for text in texts)
    assert not any("supcon is no better" in text for text in texts)
    table = tables.results(comparison)
    assert [row[0].text for row in table.floors] == ["raw pixels", "chance"]
    assert table.floors[0][table.header.index("probe ↑")].text == "0.8300"
