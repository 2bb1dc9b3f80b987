"""Sweeps through Hydra's launchers for more than one machine: what they train is what single commands train.

submitit runs its local executor, and SLURM's against commands that stand in for a cluster (slurm_stand_in.py); Ray
runs on this machine. `make test-clusters` has an environment for each, and there none is skipped.
"""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import laid_over, process, train
from tests.conftest import ROOT
from tests.holding import holding
from tests.processes import wait_for
from tests.runs.test_exactness import assert_same_run
from tests.sweep.slurm_stand_in import install
from tests.sweep.test_launch import statuses

SMALL = ("logger=csv", "figures=false", "trainer=cpu", "trainer.threads=1", "model.widths=[16]")
LONG = ("trainer.max_steps=4000", "trainer.max_epochs=200", "checkpoint.every_n_steps=20", "model.dropout=0.3")

TWO = """# @package _global_
defaults:
  - override /data: mnist_5k
  - override /model: mlp
hydra: {mode: MULTIRUN}
ablation:
  baseline: ce
  runs: [loss=ce, loss=smoothed_ce]
  seeds: [0, 1, 2]
"""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def extra(request: pytest.FixtureRequest) -> None:
    for name, package in (("slurm", "submitit"), ("ray", "ray")):
        if request.node.get_closest_marker(name) and importlib.util.find_spec(package) is None:
            pytest.skip(f"needs the extra {name}")


def sweep(folder: Path, launcher: str, *words: str, **environment: str) -> subprocess.Popen[str]:
    """``train.py -m WORDS`` by a launcher, with a folder for what that writes."""
    beside = [f"hydra.launcher.submitit_folder={folder / 'jobs'}/%j"] if "submitit" in launcher else []
    own = laid_over([f"hydra/launcher={launcher}", *beside, *SMALL, f"runs={folder / 'runs'}", *words])
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *own],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate()
    return process.returncode, output


def processes(*marks: str) -> list[int]:
    """Those that have all these texts in their command or environment, but for this one and its shells."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes() + b"\0" + (path / "environ").read_bytes()
        except OSError:
            continue
        if int(path.name) != os.getpid() and all(mark.encode() in text for mark in marks):
            found.append(int(path.name))
    return found


def alike(folder: Path, name: str) -> tuple[Path, Path]:
    """The run of this name that a single command trained, and the launcher's of the same identity."""
    (one,) = (folder / "alone").glob(f"*/{name}")
    (other,) = (folder / "runs").glob(f"*/*-{one.parent.name[-8:]}/{one.name}")
    return one, other


def written(folder: Path) -> dict[Path, int]:
    """When each run's result was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/seed*/result.json")}


def check_three_ways_to_end(folder: Path, launcher: str, *more: str, **environment: str) -> None:
    """Two jobs are fine and do not start again; then one has a value that its loss refuses, one diverges."""
    words = ("loss=ce,focal", "optimizer.lr=1e-3", "trainer.max_steps=20")
    status, output = ended(sweep(folder, launcher, *words, *more, **environment))
    assert status == 0, output
    for loss in ("ce", "focal"):
        assert train(*SMALL, f"loss={loss}", *words[1:], f"runs={folder / 'alone'}") == 0
        assert_same_run(*alike(folder, f"{loss}-*/seed0"))
    before = written(folder)
    status, output = ended(sweep(folder, launcher, *words, *more, **environment))
    assert status == 0 and written(folder) == before and len(before) == 2, output

    bad = ("loss=focal", "loss.gamma=2.0,-1", "optimizer.lr=1e-3,1e30", "trainer.max_steps=20")
    status, output = ended(sweep(folder, launcher, *bad, *more, **environment))
    assert status == 1, output
    assert "  failed      focal gamma=-1 lr=1e-3\n" in output
    assert "loss.gamma must be a number >= 0, got -1" in output
    assert "NonFiniteError: the loss (loss=focal) became" in output
    assert "3 of 4 runs are not finished" in output
    assert statuses(folder / "runs") == ["failed", "finished", "finished"]


@pytest.mark.slurm
def test_submitit_on_this_machine(tmp_path: Path) -> None:
    check_three_ways_to_end(tmp_path, "submitit_local")


@pytest.mark.slurm
def test_slurm(tmp_path: Path) -> None:
    check_three_ways_to_end(tmp_path, "submitit_slurm", **install(tmp_path))


@pytest.mark.ray
def test_ray(tmp_path: Path) -> None:
    """One CPU, so that one worker process trains all runs, one after the other."""
    check_three_ways_to_end(
        tmp_path, "ray", "hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=1"
    )


def check_looks(folder: Path, launcher: str, *more: str, **environment: str) -> None:
    """until=verdict launches once for each look, and decides what it decides by the project's own launcher."""
    (folder / "conf/ablation").mkdir(parents=True)
    (folder / "conf/ablation/two.yaml").write_text(TWO)
    words = ("ablation=two", "until=verdict", "metric=nll", "max_seeds=5", "trainer.max_steps=20")
    flag = ("--config-dir", str(folder / "conf"))
    status, output = ended(sweep(folder, launcher, *words, *more, *flag, **environment))
    assert status == 0, output
    assert ended(process(*SMALL, *words, f"runs={folder / 'alone'}", *flag))[0] == 0
    assert "look 1 of 2, after 3 seeds" in output
    (decided,), (alone,) = ((folder / name).glob("*/sequential.yaml") for name in ("runs", "alone"))
    assert decided.read_text() == alone.read_text()
    for run in alone.parent.glob("*/seed*"):
        assert_same_run(run, decided.parent / run.relative_to(alone.parent))
    before = written(folder)
    assert len(before) == len(list(alone.parent.glob("*/seed*")))
    status, output = ended(sweep(folder, launcher, *words, *more, *flag, **environment))
    assert status == 0 and written(folder) == before, output


@pytest.mark.slurm
def test_looks_on_slurm(tmp_path: Path) -> None:
    check_looks(tmp_path, "submitit_slurm", **install(tmp_path))


@pytest.mark.ray
def test_looks_on_ray(tmp_path: Path) -> None:
    check_looks(tmp_path, "ray", "hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=1")


@pytest.mark.slurm
def test_a_job_of_slurm_that_is_out_of_time_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    """As SLURM does: SIGUSR2 before the time is over. The run is, bit for bit, the one never stopped."""
    environment, held = install(tmp_path), holding(50, tmp_path / "holding")
    process = sweep(
        tmp_path, "submitit_slurm", "seed=0,1", *LONG, "hydra.launcher.max_num_timeout=5", **environment, **held
    )
    wait_for(lambda: len(list(tmp_path.glob("runs/*/*/seed*/checkpoints/last.ckpt"))) == 2)
    jobs = processes("submitit.core._submit", "SLURM_PROCID=0", str(tmp_path))
    assert len(jobs) == 2
    (tmp_path / "holding/sitecustomize.py").unlink()  # those that start again are not held
    for pid in jobs:
        os.kill(pid, signal.SIGUSR2)
    status, output = ended(process)
    assert status == 0, output
    for index in (0, 1):
        log = tmp_path / f"state/1000_{index}.log"
        assert log.read_text().split("\n")[:4] == ["wait", "start", "requeue", "start"]
        assert train(*SMALL, *LONG, f"seed={index}", f"runs={tmp_path / 'alone'}") == 0
        assert_same_run(*alike(tmp_path, f"*/seed{index}"))


@pytest.mark.slurm
def test_a_killed_job_fails_the_command_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """The first is killed as if memory were short; the second finishes, and is believed."""
    words = ("seed=0,1", *LONG)
    process = sweep(tmp_path, "submitit_local", *words, **holding(50, tmp_path / "holding"))
    wait_for(lambda: len(list(tmp_path.glob("runs/*/*/seed*/checkpoints/last.ckpt"))) == 2)
    victim = max(processes("submitit.core._submit", str(tmp_path)))
    os.kill(victim, signal.SIGKILL)
    (tmp_path / "holding/sitecustomize.py").unlink()  # and the other goes on
    wait_for(lambda: "finished" in statuses(tmp_path / "runs"))
    status, output = ended(process)
    assert status == 1, output
    assert "1 of 2 runs are not finished" in output and "Traceback" not in output
    assert "its launcher gave up, though it may still run: UncompletedJobError: Job" in output
    before = written(tmp_path)
    status, output = ended(sweep(tmp_path, "submitit_local", *words))
    assert status == 0, output
    assert len(written(tmp_path).items() & before.items()) == 1, "the one that was finished is not trained again"
