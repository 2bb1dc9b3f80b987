"""The page's tables: what they say, and what they leave out."""

import json
from pathlib import Path

import yaml

from src.folder.lock import held
from src.report import about, tables
from src.report.compare import Comparison, compare
from src.report.groups import sections_of
from src.report.read import find_runs
from src.report.table import Table
from src.report.words import unfinished
from src.report.write import find_baseline, write_report
from tests.report.fabricated import BRIER, CE, FOCAL, Kind, ablation_of, finished
from tests.report.test_read import sweep


def compared(folder: Path) -> Comparison:
    (section,) = sections_of(find_runs([folder]))
    return compare(section, find_baseline(section, None))


def column(table: Table, name: str) -> list[str]:
    at = table.header.index(name)
    return [row[at].text for row in table.rows]


def test_a_value_of_fewer_seeds_says_so(tmp_path: Path) -> None:
    """One network whose nll is not finite, one seed that the baseline does not have."""
    ablation_of(tmp_path, [CE, FOCAL], range(4), n=50)
    finished(tmp_path, FOCAL, 9, n=50)
    path = next(tmp_path.glob("focal-*/seed1/result.json"))
    result = json.loads(path.read_text())
    result["metrics"]["test"]["brier"] = None
    path.write_text(json.dumps(result))
    table = tables.results(compared(tmp_path))
    assert column(table, "seeds") == ["4", "5"]
    focal = dict(zip(table.header, table.rows[1], strict=True))
    assert focal["brier ↓"].text.endswith(" (4 of 5 seeds)") and focal["brier ↓"].below.endswith(" (3 of 5 seeds)")
    assert "seeds" not in focal["nll (nats) ↓"].text and focal["nll (nats) ↓"].below.endswith(" (4 of 5 seeds)")
    ce = dict(zip(table.header, table.rows[0], strict=True))
    assert not any("seeds" in cell.text + cell.below for cell in ce.values())


def test_what_says_nothing_is_not_shown(tmp_path: Path) -> None:
    idle = {"loss.effective_number_beta": None, "loss.class_weights": None}
    kinds = [Kind("ce", settings=idle), Kind("focal", settings={**idle, "loss.gamma": 2.0}), BRIER]
    ablation_of(tmp_path, kinds, range(3), n=50)
    comparison = compared(tmp_path)
    assert about.rates(comparison.section).rows == []
    assert about.differing(comparison.section).header == ["loss", "loss.gamma"]
    assert about.cost(comparison.section).rows == [], "as fast, as many and on the same machine: made up so"
    assert "seeds" not in tables.results(comparison).header and about.seeds(comparison) == "3 seeds of each loss."
    assert not {"lr", "tags", "note"} & set(about.runs(comparison, tmp_path).header)
    weighted = {"loss.effective_number_beta": 0.99, "loss.class_weights": "effective_number"}
    finished(tmp_path, Kind("poly1", settings={**weighted, "optimizer.lr": 0.1}), 0, n=50)
    section = compared(tmp_path).section
    assert "loss.effective_number_beta" in about.differing(section).header
    assert column(about.rates(section), "lr") == ["0.002", "0.002", "0.002", "0.1"]


def test_p_values_are_those_of_the_comparison(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6)], range(2), n=50)
    assert tables.p_values(compared(tmp_path)).rows == [], "two seeds are not tested"
    ablation_of(tmp_path / "more", [CE, Kind("good", skill=1.6)], [2, 3], n=50)
    comparison = compared(tmp_path)
    (row,) = tables.p_values(comparison).rows
    cell = comparison.cells["good", "nll"]
    assert cell.difference is not None and 0.001 < cell.difference.p < cell.adjusted
    assert abs(float(row[2].text) - cell.adjusted) < 0.01
    assert abs(float(row[2].below.removeprefix("uncorrected ")) - cell.difference.p) < 0.01


def test_each_run_has_its_own_values_its_note_and_a_link(tmp_path: Path) -> None:
    ablation_of(tmp_path / "runs", [CE, FOCAL], range(3), n=50)
    path = next((tmp_path / "runs").glob("focal-*/seed2/config.yaml"))
    config = yaml.safe_load(path.read_text()) | {"note": "with <love>", "tags": ["a", "b"]}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    out = tmp_path / "deep down/report"
    table = about.runs(compared(tmp_path / "runs"), out)
    assert len(table.rows) == 6
    last = dict(zip(table.header, table.rows[-1], strict=True))
    assert (last["note"].text, last["tags"].text, last["seed"].text) == ("with <love>", "a, b", "2")
    assert last["seed"].link == f"../../runs/{path.parent.parent.name}/seed2"
    result = json.loads((path.parent / "result.json").read_text())
    assert last["nll"].text == f"{result['metrics']['test']['nll']:.4f}"
    write_report([tmp_path / "runs"], None, out)
    page = (out / "report.html").read_text()
    assert f'href="{last["seed"].link}"' in page and "with &lt;love&gt;" in page


def test_links_are_always_paths(tmp_path: Path) -> None:
    for name, link in (("javascript:x", "./javascript%3Ax"), ("a b#c?d", "./a%20b%23c%3Fd"), ("é", "./%C3%A9")):
        assert about.address(tmp_path / name, tmp_path) == link


def test_a_sweep_that_runs_is_one_line(tmp_path: Path) -> None:
    """Its list is as it was at its beginning, without any run."""
    finished(tmp_path, CE, 0, n=50, ablation="a")
    sweep(tmp_path, [(loss, seed, None) for loss in ("ce", "focal") for seed in range(2)], "ce")
    assert "4 missing" in unfinished(find_runs([tmp_path]))
    with held(tmp_path, "busy"):
        (waiting,) = [run for run in find_runs([tmp_path]) if run.status != "finished"]
    assert waiting.note == "this sweep is running now, and 3 of its 4 runs have not begun"
