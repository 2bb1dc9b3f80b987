"""What debug=profiler leaves behind, and that the run is the one without it."""

import gzip
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.callbacks.plan import Plan
from src.folder.folder import RunFolder
from src.runs.fit import Fit
from src.tasks.supervised import SupervisedTask
from tests.commands import QUIET, only_run, train
from tests.runs.test_exactness import assert_same_run

RUN = (
    *(*QUIET, "data.train_examples=400", "data.batch_size=10", "model.widths=[16]", "trainer.val_every_n_steps=15"),
    *("trainer.log_every_n_steps=5", "trainer.limit_eval_batches=1"),
)


def trace(run: Path) -> list[dict[str, Any]]:
    with gzip.open(run / "profile/trace.json.gz") as file:
        return [event for event in json.load(file)["traceEvents"] if event.get("ph") == "X"]


def test_says_where_the_time_goes_and_changes_nothing(tmp_path: Path) -> None:
    assert train(*RUN, "trainer.max_steps=40", f"runs={tmp_path / 'plain'}") == 0
    assert train(*RUN, "trainer.max_steps=40", "debug=profiler", f"runs={tmp_path / 'profiled'}") == 0
    plain, run = (only_run(tmp_path / name) for name in ("plain", "profiled"))
    assert plain.relative_to(tmp_path / "plain") == run.relative_to(tmp_path / "profiled"), "one run, one name"
    assert_same_run(plain, run)
    assert sorted(path.name for path in (run / "profile").iterdir()) == ["hooks.txt", "operators.txt", "trace.json.gz"]
    assert not (plain / "profile").exists()

    rows = [line.split("|") for line in (run / "profile/hooks.txt").read_text().splitlines() if line.startswith("|")]
    calls = {row[1].strip(): row[3].strip() for row in rows}
    assert calls["optimizer_step"] == "40"
    assert 9 <= int(calls["[Callback]Recorder.on_train_batch_end"]) <= 40  # where something is due, or time is up
    assert calls["[Callback]Recorder.on_validation_end"] == "3"

    operators = (run / "profile/operators.txt").read_text()
    assert (
        "aten::addmm" in operators and "Optimizer.step#AdamW.step" in operators and "Self CPU time total" in operators
    )
    names = [event["name"] for event in trace(run)]
    steps = {name for name in names if name.startswith("ProfilerStep#")}
    assert steps == {f"ProfilerStep#{step}" for step in range(12, 22)}, "10 steps after 10 and 2 to warm up"
    assert names.count("optimizer_step") == 10
    assert (run / "profile/trace.json.gz").stat().st_size < 2_000_000


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_a_short_run_is_traced_as_far_as_it_goes(steps: int, tmp_path: Path) -> None:
    assert train(*RUN, f"trainer.max_steps={steps}", "debug=profiler", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    skipped = min(10, steps // 3) + min(2, steps // 3)
    assert sum(event["name"] == "optimizer_step" for event in trace(run)) == min(10, steps - skipped)
    assert "aten::addmm" in (run / "profile/operators.txt").read_text()


def test_a_run_that_fails_leaves_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = SupervisedTask.batch_loss, itertools.count()

    def batch_loss(self: SupervisedTask, *given: Any) -> Any:
        if next(calls) == 18:
            raise RuntimeError("out of memory")
        return right(self, *given)

    monkeypatch.setattr(SupervisedTask, "batch_loss", batch_loss)
    assert train(*RUN, "trainer.max_steps=40", "debug=profiler", f"runs={tmp_path}") == 1
    run = only_run(tmp_path)
    assert "optimizer_step" in (run / "profile/hooks.txt").read_text()
    assert any(event["name"] == "optimizer_step" for event in trace(run))
    assert "out of memory" in json.loads((run / "result.json").read_text())["error"]
    monkeypatch.setattr(SupervisedTask, "batch_loss", right)
    assert train(*RUN, "trainer.max_steps=40", "debug=profiler", "retry_failed=true", f"runs={tmp_path}") == 0


def test_one_rank_alone_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fit = object.__new__(Fit)
    fit.cfg, fit.folder, fit.plan = {"profiler": True}, RunFolder(tmp_path), Plan(40, 40, 40, 1, 50, None)
    fit.task = SimpleNamespace(automatic_optimization=False)  # type: ignore[assignment]
    assert fit._profiler() is not None
    monkeypatch.setattr("src.ranks.ranks.rank", lambda: 1)
    assert fit._profiler() is None


@pytest.mark.parametrize(
    "words",
    [("resume",), *(pytest.param(words, marks=pytest.mark.slow) for words in ((), ("twice",)))],
    ids=["resume", "plain", "debug"],
)
def test_a_finished_run_is_profiled_and_stays_as_it_is(
    words: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the same command, by its folder, and where it was itself run for its profile."""
    command = (*RUN, "trainer.max_steps=60", f"runs={tmp_path}", *(["debug=profiler"] if words == ("twice",) else []))
    assert train(*command) == 0
    run = only_run(tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.parent.name != "profile"}
    capfd.readouterr()
    again = (f"resume={run}",) if words == ("resume",) else command
    assert train(*(word for word in again if word != "debug=profiler"), "debug=profiler") == 0
    said = capfd.readouterr().out
    assert f"this run is finished, and stays as it is: {run}" in said
    assert f"written: {run / 'profile/operators.txt'}" in said
    table = said[said.index("dearest operators") :].splitlines()[1:6]
    shares = [float(re.search(r" ([\d.]+)% +\d", line)[1]) for line in table]  # type: ignore[index]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100
    assert all(line.split()[0] in (run / "profile/operators.txt").read_text() for line in table)
    assert sum(event["name"] == "optimizer_step" for event in trace(run)) == 10
    assert only_run(tmp_path) == run, "nothing else is left"
    now = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.parent.name != "profile"}
    assert now == before
