"""evaluate.py on a run's own test, bit for bit; and on folders that cannot be tested."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.evaluate.runs import RUNS, loaded, state, status

SLOW = pytest.param("compiled", marks=pytest.mark.slow)  # torch.compile takes a minute


@pytest.mark.parametrize("name", [SLOW if name == "compiled" else name for name in RUNS])
def test_the_same_bits_again(name: str, finished: Callable[[str], Path], command: Callable[..., int]) -> None:
    run = finished(name)
    before, result = state(run), loaded(run / "result.json")
    torch.manual_seed(len(name))
    assert command(run) == 0
    report = loaded(run / "evaluations/test.json")
    assert report["metrics"]["test"] == result["metrics"]["test"]
    for key in ("bins", "class_accuracy", "intervals"):
        assert report.get(key) == result.get(key)
    assert report["adjusted"]["value"] == result["metrics"]["test"].get("temperature")
    assert report["same_as_result"] is True
    after = state(run)
    new = {path for path in after if path.startswith(str(run / "evaluations"))}
    assert new == {str(run / "evaluations"), str(run / "evaluations/test.json")}
    assert before == {path: time for path, time in after.items() if path not in new}


def test_the_temperature_is_fitted_and_not_copied(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished("images"), tmp_path / "run"))
    result = loaded(run / "result.json")
    true = result["metrics"]["test"]["temperature"]
    result["metrics"]["test"]["temperature"] = result["adjusted"] = 7.0
    del result["run"]["sha256"]  # which says that nobody changed it
    (run / "result.json").write_text(json.dumps(result))
    assert command(run) == 0
    report = loaded(run / "evaluations/test.json")
    assert report["adjusted"]["value"] == true and report["same_as_result"] is False
    assert "not the same as in result.json: temperature" in capfd.readouterr().out
    assert command(run, "data.eval_batch_size=300") == 0
    assert loaded(run / "evaluations/eval_batch_size300.json")["adjusted"] == {"value": 7.0, "is": "the run's"}
    assert "temperature 7, the run's" in capfd.readouterr().out


@pytest.mark.slow
def test_as_a_process_from_elsewhere(finished: Callable[[str], Path], tmp_path: Path) -> None:
    run = finished("images")
    done = subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), os.path.relpath(run, tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "bit for bit" in done.stdout and list(tmp_path.iterdir()) == []


def test_another_machine_is_told(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished("images"), tmp_path / "run"))
    result = loaded(run / "result.json")
    result["run"]["versions"]["torch"] = "1.0"
    del result["run"]["sha256"]  # which says that nobody changed it
    (run / "result.json").write_text(json.dumps(result))
    assert command(run) == 0
    assert "(torch 1.0 there, " in capfd.readouterr().out


FOLDERS: list[tuple[str, Callable[[Path], object], str]] = [
    ("running", status("running"), "is running: finish it first, python train.py resume="),
    ("interrupted", status("interrupted"), "is interrupted: finish it first"),
    ("failed", status("failed"), "is failed: finish it first, python train.py resume=.* retry_failed=true"),
    ("no result", lambda run: (run / "result.json").unlink(), "is not started"),
    ("half a result", lambda run: (run / "result.json").write_text('{"status"'), "result.json is damaged"),
    (
        "old result",
        lambda run: (run / "result.json").write_text('{"status": "finished"}'),
        "not say what is measured",
    ),
    ("no config", lambda run: (run / "config.yaml").unlink(), "is no run's folder"),
    ("old config", lambda run: (run / "config.yaml").write_text("choices: {}"), "has no data: damaged, or written by"),
    ("no weights", lambda run: (run / "weights.safetensors").unlink(), "has no weights.safetensors"),
    ("half the weights", lambda run: os.truncate(run / "weights.safetensors", 999), "weights.safetensors is damaged"),
    (
        "foreign code",
        lambda run: (run / "config.yaml").write_text(
            (run / "config.yaml").read_text().replace("src.data.mnist.MNIST5k", "os.system")
        ),
        r"config.yaml: data._target_=os.system is neither the project's own .* not loaded. If you trust that code",
    ),
]


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in FOLDERS], ids=[row[0] for row in FOLDERS])
def test_folder_that_cannot_be_tested(
    change: Callable[[Path], object],
    expected: str,
    finished: Callable[[str], Path],
    command: Callable[..., int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source = finished("images")
    run = Path(shutil.copytree(source, tmp_path / "run", ignore=shutil.ignore_patterns("evaluations", "checkpoints")))
    change(run)
    before = state(run)
    capfd.readouterr()
    assert command(run) == 2
    said = capfd.readouterr().err
    assert re.search(expected, said), said
    assert len(said.strip().splitlines()) == 1, said
    assert state(run) == before


def test_teacher_that_is_gone(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished("distillation"), tmp_path / "run"))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("teacher: /", "teacher: /gone/"))
    assert command(run) == 2
    assert "/gone/" in (said := capfd.readouterr().err) and "is no run's folder" in said


def test_a_run_that_is_trained_anew_meanwhile(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from src.evaluate import again

    run = Path(shutil.copytree(finished("images"), tmp_path / "run", ignore=shutil.ignore_patterns("evaluations")))
    test = again.test

    def overwritten(*args: Any) -> Any:
        status("running")(run)
        return test(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(again, "test", overwritten)
        assert command(run) == 2
    assert "was trained anew meanwhile: give the command again" in capfd.readouterr().err
    assert not list(run.rglob("*test.json*"))


def test_a_full_disk(
    finished: Callable[[str], Path],
    command: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    run = finished("images")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr(os, "fsync", full)
    assert command(run) == 1
    assert "the evaluation failed: OSError: [Errno 28] No space left" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
