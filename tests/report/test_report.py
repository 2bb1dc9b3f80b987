"""python report.py, and what it writes."""

import csv
import html
import html.parser
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

import report
from src.config.errors import UserError
from src.config.guard import guarded
from src.folder.lock import held
from src.report.groups import sections_of
from src.report.read import find_runs
from src.report.words import unfinished
from src.report.write import find_baseline, write_report
from tests.conftest import ROOT
from tests.report.fabricated import BRIER, CE, FOCAL, HINGE, Kind, ablation_of, ended, finished, started
from tests.report.test_read import sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def command(*words: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "report.py", *words], capture_output=True, text=True, check=False)


def test_the_command_writes_all_without_torch_and_says_who_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6), HINGE], range(3))
    code = (
        "import sys, report; from src.config.guard import guarded;"
        "status = guarded(report.main); sys.exit('torch' in sys.modules or status)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  good is more accurate than ce (accuracy +" in done.stdout
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        *("report.csv", "report.html", "report.md"),
    ]
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path)])
    assert report.main() == 0
    assert capsys.readouterr().out == done.stdout, "its own report is no run"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which runs?"),
        (["nowhere"], "nowhere is no folder"),
        (["."], "no runs in"),
        (["{runs}", "basline=ce"], "unknown key 'basline'. Did you mean baseline?"),
        (["{runs}", "--baseline", "ce"], "unknown key '--baseline'. Did you mean baseline?"),
        (["{runs}", "baseline="], "baseline= has no value"),
        (["{runs}", "=", "accuracy:0.005"], "'=' has no key: a word is key=value, without spaces"),
        (["{runs}", "baseline=ce", "baseline=focal"], "baseline is there twice"),
        (["{runs}", "baseline=focl"], "baseline=focl: no such loss among the runs. Did you mean focal?"),
        (["{runs}", "out=/dev/null/report"], "the report cannot be written to /dev/null/report"),
    ],
)
def test_bad_commands_are_one_message_and_leave_nothing(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ablation_of(tmp_path / "runs", [CE, FOCAL], [0])
    before = sorted(tmp_path.rglob("*"))
    empty = tmp_path.parent / f"{tmp_path.name}-empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(sys, "argv", ["report.py", *(word.format(runs=runs) for word in words)])
    assert guarded(report.main) == 2
    told = capsys.readouterr().err
    assert told.startswith("xent: ") and message in told and len(told.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before and list(empty.iterdir()) == []


def test_the_baseline_is_as_asked_else_of_the_sweep_else_ce(tmp_path: Path) -> None:
    def baseline(wanted: str | None) -> tuple[str | None, list[str]]:
        (section,) = sections_of(find_runs([tmp_path]))
        group = find_baseline(section, wanted)
        return group.label if group else None, section.warnings

    runs = [finished(tmp_path, kind, 0, ablation="a") for kind in (CE, FOCAL, BRIER)]
    assert baseline(None) == ("ce", [])
    sweep(tmp_path, [("ce", 0, runs[0]), ("focal", 0, runs[1]), ("brier", 0, runs[2])], "focal")
    assert baseline(None) == ("focal", [])
    assert baseline("brier") == ("brier", [])
    shutil.rmtree(runs[1].parent)
    label, warnings = baseline(None)
    assert label is None
    assert any("no baseline: no run of focal" in warning for warning in warnings)


def test_two_groups_of_the_same_loss_need_a_choice(tmp_path: Path) -> None:
    ablation_of(tmp_path, [FOCAL, Kind("focal", settings={"loss.gamma": 3.0})], [0])
    (section,) = sections_of(find_runs([tmp_path]))
    with pytest.raises(UserError, match="several groups are focal: focal gamma=2, focal gamma=3; name one of these"):
        find_baseline(section, "focal")
    assert (found := find_baseline(section, "focal gamma=3")) and found.label == "focal gamma=3"


def test_the_table_is_the_same_in_csv(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, Kind("good", skill=1.6), HINGE], range(3))
    out, (comparison,), *_ = write_report([tmp_path], None, None)
    assert out == tmp_path / "report"
    with (out / "report.csv").open(newline="") as file:
        rows = {(row["loss"], row["metric"]): row for row in csv.DictReader(file)}
    assert rows.keys() == comparison.cells.keys()
    row, cell = rows["good", "nll"], comparison.cells["good", "nll"]
    assert cell.difference is not None
    assert [float(row[name]) for name in ("mean", "low", "high")] == [cell.mean.value, cell.mean.low, cell.mean.high]
    assert float(row["p_holm"]) == cell.adjusted
    assert [row[name] for name in ("verdict", "beats_every_other", "baseline", "common_seeds", "lr")] == [
        *("better", "yes", "ce", "3", "0.002"),
    ]
    assert (rows["ce", "nll"]["difference"], rows["ce", "nll"]["verdict"]) == ("", "")


def test_what_did_not_finish_is_told_with_the_command_that_finishes_it(tmp_path: Path) -> None:
    """Of an ablation its own, of a single run resume=; a run that a process still trains needs none."""

    def told() -> str:
        return unfinished(find_runs([tmp_path]))

    runs = [finished(tmp_path / "a", CE, seed, ablation="a") for seed in range(2)]
    jobs = [("ce", 0, runs[0]), ("ce", 1, runs[1])]
    sweep(tmp_path / "a", jobs, "ce")
    assert told() == ""
    gone = started(tmp_path / "a", FOCAL, 0, ablation="a")
    sweep(tmp_path / "a", [*jobs, ("focal", 0, gone)], "ce")
    with held(gone, "busy"):
        assert told() == "1 run is not finished: 1 running"
    sweep(tmp_path / "a", [*jobs, ("focal", 0, gone), ("focal", 1, None)], "ce")
    own = "the command of the sweep again (its sweep.yaml says: python train.py ablation=a)"
    assert told() == f"2 runs are not finished: 1 killed, 1 missing; to finish: {own}"
    done = command(tmp_path)
    assert done.stdout.splitlines()[-2] == told()
    for page in ("report.md", "report.html"):
        assert told() in (tmp_path / "report" / page).read_text()
    single = f"python train.py resume={ended(tmp_path / 'b', BRIER, 0, 'failed', error='x')}"
    counts = "3 runs are not finished: 1 killed, 1 failed, 1 missing"
    assert told() == f"{counts}; to finish: {own}; {single} (failed ones with retry_failed=true)"
    ended(tmp_path / "b", BRIER, 1, "interrupted")
    assert told().endswith(
        f"{own}; python train.py resume=FOLDER for each of the rest (failed ones with retry_failed=true)"
    )


def test_nothing_is_dropped(tmp_path: Path) -> None:
    """Failed, interrupted, running, missing and damaged runs are in both pages, and passed over learning rates."""
    runs = [finished(tmp_path, CE, 0, ablation="a"), finished(tmp_path, FOCAL, 0, ablation="a")]
    sweep(tmp_path, [("ce", 0, runs[0]), ("focal", 0, runs[1]), ("focal", 1, None)], "ce")
    finished(tmp_path, Kind("ce", sharpness=9.0, settings={"optimizer.lr": 0.5}), 0, ablation="a")
    ended(tmp_path, BRIER, 0, "failed", error="FloatingPointError: <nll> | is not finite")
    ended(tmp_path, BRIER, 1, "interrupted")
    started(tmp_path, BRIER, 2)
    (started(tmp_path, BRIER, 3) / "config.yaml").write_text("[")
    out, *_ = write_report([tmp_path], None, None)
    markdown = (out / "report.md").read_text()
    for text in ("failed", "interrupted", "killed", "missing", "damaged", "0.5 ("):
        assert text in markdown
        assert text in (out / "report.html").read_text()
    assert "focal, seed 1: loss=focal seed=1" in markdown
    assert "FloatingPointError: &lt;nll&gt; \\| is not finite" in markdown
    assert "FloatingPointError: &lt;nll&gt; | is not finite" in (out / "report.html").read_text()
    assert "2 finished runs compared, 1 at learning rates that were passed over, of 8 found or expected" in markdown


def test_only_failed_runs_are_still_a_report(tmp_path: Path) -> None:
    ended(tmp_path, CE, 0, "failed", error="boom")
    out, *_ = write_report([tmp_path], None, None)
    assert "boom" in (out / "report.md").read_text()


def test_tensorboard_has_the_mean_and_its_band(tmp_path: Path) -> None:
    ablation_of(
        tmp_path / "runs",
        [CE, Kind("focal", settings={"loss.gamma": 2.0}), Kind("focal", settings={"loss.gamma": 3.0})],
        range(3),
    )
    means = tmp_path / "means"
    for _ in range(2):  # events of the last report do not stay
        write_report([tmp_path / "runs"], None, None, means)
    assert not list((tmp_path / "runs").rglob("*tfevents*.report")), "nothing is mixed with the runs"
    folders = sorted(means.iterdir())
    assert [folder.name for folder in folders] == ["ce", "focal_gamma=2", "focal_gamma=3"]
    events = EventAccumulator(str(folders[0]))
    events.Reload()
    mean, low, high = (events.Scalars(f"val/nll{suffix}") for suffix in ("", "_low", "_high"))
    assert len(mean) == len(low) == len(high) == 20
    assert all(a.value <= b.value <= c.value for a, b, c in zip(low, mean, high, strict=True))
    assert [event.step for event in mean][:2] == [56, 112]
    layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    charts = {chart.title: chart.margin.series[0] for chart in layout.category[0].chart}
    assert list(charts)[:2] == ["val/nll", "val/accuracy"] and "val/loss" not in charts
    assert (charts["val/nll"].value, charts["val/nll"].lower, charts["val/nll"].upper) == (
        *("val/nll", "val/nll_low", "val/nll_high"),
    )


def test_means_are_not_written_among_the_runs(tmp_path: Path) -> None:
    ablation_of(tmp_path / "runs", [CE], range(3))
    with pytest.raises(UserError, match=r"means=.* lies in .*runs, where TensorBoard would mix it with the runs"):
        write_report([tmp_path / "runs"], None, None, tmp_path / "runs/means")
    assert not (tmp_path / "runs/means").exists() and not (tmp_path / "runs/report").exists()


class References(html.parser.HTMLParser):
    """All that a page could fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_the_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    ablation_of(tmp_path, [CE, FOCAL, HINGE], range(2))
    out, *_ = write_report([tmp_path], None, None)
    text = (out / "report.html").read_text()
    page = References()
    page.feed(text)
    folders = [f"../{run.relative_to(tmp_path)}" for run in sorted(tmp_path.glob("*/seed*"))]
    assert sorted({uri for uri in page.found if uri.startswith("..")}) == folders, "links to the runs, relative"
    rest = {uri for uri in page.found if not uri.startswith("..")}
    assert all(uri.startswith(("data:,", "#")) for uri in rest)
    assert text.count("<svg") == 2 + 3 + 2 + 1, "forest, learning curves, reliability, scatter"
    assert text.count("<script") == 1 and "url(http" not in text and "@import" not in text


@pytest.mark.slow
def test_a_thousand_runs(tmp_path: Path) -> None:
    kinds = [Kind(f"loss{k}", skill=1 + k / 200) for k in range(100)]
    ablation_of(tmp_path, kinds, range(10), n=1000)
    start = time.process_time()
    _, (comparison,), *_ = write_report([tmp_path], "loss0", None)
    seconds = time.process_time() - start
    print(f"{seconds:.1f} s of processor time")
    assert len(comparison.section.runs) == 1000
    assert comparison.pair_comparisons == 5 * 100 * 99 // 2
