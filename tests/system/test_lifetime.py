"""The processes of this tree, from whatever folder they are started."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from src.sweep.start import Forked, Warm
from src.system.lifetime import lead_here, running
from tests.commands import QUIET, only_run, process, result_of
from tests.conftest import ROOT
from tests.foreign import Foreign
from tests.processes import wait_for


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


def test_the_mark_is_left_where_the_current_folder_comes_first(foreign: Foreign) -> None:
    """Or the tests below would prove nothing."""
    subprocess.run([sys.executable, "-m", "src.runs.follow"], cwd=foreign.path, check=True)
    assert foreign.ran()


def test_a_module_of_this_tree_runs_in_any_folder(foreign: Foreign) -> None:
    """It ends with the fault of this tree's main, which is told of no rank."""
    done = subprocess.run(running(".sweep.start"), cwd=foreign.path, capture_output=True, text=True)
    assert str(ROOT / "src/sweep/start.py") in done.stderr and "not enough values" in done.stderr
    assert not foreign.ran()


def test_what_others_start_by_its_module_is_led_here(foreign: Foreign) -> None:
    """As a cluster's launcher starts jobs: the modules of this tree, and nothing of the current folder."""
    environment = dict(os.environ)
    lead_here(environment)
    words = [sys.executable, "-m", "src.system.files"]
    done = subprocess.run(words, cwd=foreign.path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not foreign.ran()


def test_a_forked_job_runs_in_any_folder(foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(foreign.path)
    with Warm(["tests.sweep.probe", "first"], [".checks", "yaml"]) as warm, tempfile.TemporaryFile() as output:
        wait_for(warm.ready)
        job = warm.start(["0"], output, {})
        wait_for(lambda: job.poll() is not None)
        assert isinstance(job, Forked) and job.returncode == 0
    assert not foreign.ran()


@pytest.mark.slow
@pytest.mark.parametrize("flag", [(), ("-m",)])
def test_ranks_and_jobs_run_in_any_folder(flag: tuple[str, ...], foreign: Foreign, tmp_path: Path) -> None:
    ranks = () if flag else ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    words = (*QUIET, *ranks, "trainer.max_steps=2", "data.train_examples=100", "data.batch_size=20", "model.widths=[8]")
    child = process(*flag, *words, f"runs={tmp_path / 'runs'}", cwd=foreign.path)
    output, errors = child.communicate()
    assert child.returncode == 0, output + errors
    assert result_of(only_run(tmp_path / "runs"))["status"] == "finished"
    assert not foreign.ran()


@pytest.mark.parametrize("script", ["train.py", "evaluate.py", "report.py", "tune.py"])
def test_a_command_runs_in_any_folder(script: str, foreign: Foreign) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"], cwd=foreign.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not foreign.ran()


def test_another_package_src_on_the_path_is_not_this_tree(tmp_path: Path) -> None:
    """A regular package src further down the path would win over one without __init__.py."""
    package = tmp_path / "src"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()")
    words = [sys.executable, str(ROOT / "train.py"), "--cfg", "job"]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists()
