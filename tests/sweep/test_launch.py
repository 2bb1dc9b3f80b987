"""The launcher, with real processes that stand in for training (stand_in.py)."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.folder.lock import is_held
from src.sweep.launch import visible_gpus
from tests.conftest import ROOT
from tests.processes import running, wait_for

LAUNCHED = "import os, sys; import src.sweep.launch as launch; import train; \
from src.config.guard import guarded; \
launch.TRAIN = ['tests.sweep.stand_in']; os.environ['PYTHONPATH'] = os.getcwd(); \
launch.IMPORTS = ['tests.sweep.composing']; sys.exit(guarded(train.main))"
COLD = LAUNCHED.replace("sys.exit(", "launch.is_cold = lambda job: True; sys.exit(")
forked_or_cold = pytest.mark.parametrize(
    "code", [pytest.param(LAUNCHED, id="forked"), pytest.param(COLD, id="cold", marks=pytest.mark.slow)]
)
ONE = "trainer.max_steps=1"  # a tenth of a second
LONG = "trainer.max_steps=20000"  # longer than any deadline


def started(*words: str, code: str = LAUNCHED, **environment: str) -> subprocess.Popen[str]:
    """``train.py WORDS`` with the stand-in as the jobs' train.py."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def ended(*words: str, code: str = LAUNCHED, **environment: str) -> tuple[int, str]:
    process = started(*words, code=code, **environment)
    output, _ = process.communicate()
    return process.returncode, output


def starts(runs: Path) -> list[tuple[float, float, str]]:
    """Begin, end and GPUs of all jobs that came to their end, in order."""
    lines = [line.split() for path in runs.glob("**/seed*/starts") for line in path.read_text().splitlines()]
    return sorted((float(begin), float(end), gpus) for begin, end, gpus in lines)


def begun(runs: Path) -> list[int]:
    """How often each job has begun."""
    return [len(path.read_text().splitlines()) for path in runs.glob("**/seed*/begun")]


def ended_together(most: int, runs: Path, *words: str, **environment: str) -> None:
    """Run a sweep whose jobs do not end before ``most`` have begun; never did more run at a time."""
    gate = runs.parent / f"gate of {runs.name}"
    process = started(*words, f"runs={runs}", GATE=str(gate), **environment)
    wait_for(lambda: len(begun(runs)) >= most)
    gate.touch()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert at_once(runs) == most
    told = [line.split()[2] for line in output.splitlines() if line.startswith("job ")]
    running = list(itertools.accumulate({"started": 1, "finished": -1}[word] for word in told))
    assert max(running) == most and running[-1] == 0


def at_once(runs: Path) -> int:
    """The largest number of jobs that ran at the same time."""
    spans = starts(runs)
    return max(sum(a <= begin < b for a, b, _ in spans) for begin, _, _ in spans)


def statuses(runs: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["status"] for path in runs.glob("**/seed*/result.json"))


@forked_or_cold
def test_every_way_to_end(code: str, tmp_path: Path) -> None:
    """Only what its result.json calls finished is finished."""
    words = ("-m", "loss=ce,hinge,kl,mmce,poly1", ONE, f"runs={tmp_path}", "hydra.launcher.jobs=3")
    status, output = ended(*words, code=code)
    assert status == 1
    told, table = output.split("4 of 5 runs are not finished")
    for reason, name in (
        ("NonFiniteError: became nan", "hinge"),
        ("loss.beta must be so, got 'thus'", "kl"),
        ("it ended with status 0, but its result says running", "mmce"),
        ("killed by SIGKILL; the same command resumes it from its last checkpoint", "poly1"),
    ):
        assert output.count(reason) == 2, f"{reason}: at once, and at the end\n{output}"
        row = next(line for line in table.splitlines() if line.startswith(f"  failed      {name}"))
        folder = next(iter(tmp_path.glob(f"*/{name}-*/seed0")), None)
        assert row.endswith(str(folder) if folder else name)
    assert "finished  ce  accuracy 0.5000  nll 1.0000" in told
    assert "\x1b" not in output and "Traceback" not in output

    status, output = ended(*words, code=code)  # again: neither what is finished nor what failed is trained
    assert status == 1
    assert "finished  ce  accuracy 0.5000  nll 1.0000" in output and "NonFiniteError: became nan" in output
    assert len(starts(tmp_path)) == 8
    status, output = ended("-m", "loss=hinge", ONE, f"runs={tmp_path}", "retry_failed=true")
    assert status == 1 and "job 1/1 started   hinge" in output
    status, output = ended("-m", "loss=ce", ONE, f"runs={tmp_path}", "overwrite=true")
    assert status == 0 and "job 1/1 started   ce" in output


@pytest.mark.slow
def test_a_folder_that_is_not_there_any_more_is_made_again(tmp_path: Path) -> None:
    words = ("-m", "seed=0,1", ONE, f"runs={tmp_path}")
    assert ended(*words)[0] == 0
    result = next(iter(tmp_path.glob("**/seed1/result.json")))
    for change in (lambda: result.write_text('{"status": "running"}'), result.unlink):
        before = len(starts(tmp_path))
        change()
        status, output = ended(*words)
        assert status == 0 and len(starts(tmp_path)) == before + 1, output
    result.write_text("{")
    status, output = ended(*words)
    assert status == 1 and "result.json is damaged" in output and "overwrite=true" in output
    result.unlink()
    status, output = ended(*words, "trainer.max_epochs=3")
    assert status == 0 and output.count(" started ") == 2, "another configuration is another run"


@pytest.mark.parametrize("most", [1, 3])
def test_so_many_at_a_time(most: int, tmp_path: Path) -> None:
    words = ("-m", f"seed=range({2 * most})", "trainer.max_steps=5", f"hydra.launcher.jobs={most}")
    ended_together(most, tmp_path / "runs", *words)
    assert len(starts(tmp_path / "runs")) == 2 * most


def test_as_many_as_cores_by_default(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    runs = tmp_path / "runs"
    ended_together(cores, runs, "-m", f"seed=range({cores + 1})", "trainer=cpu", "trainer.max_steps=5")
    threads = {yaml.safe_load(path.read_text())["trainer"]["threads"] for path in runs.glob("**/seed*/config.yaml")}
    assert threads == {1}


def test_gpus_are_shared_out(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    ended_together(2, runs, "-m", "trainer.max_steps=5", "hydra.launcher.devices=[3,5]", "seed=range(4)")
    spans = starts(runs)
    assert sorted(gpus for _, _, gpus in spans) == ["3", "3", "5", "5"]
    for one, other in itertools.combinations(spans, 2):
        assert one[2] != other[2] or one[1] <= other[0], "two jobs on one GPU at a time"


def test_a_job_of_several_gpus_has_them_for_itself(tmp_path: Path) -> None:
    words = ("-m", "seed=0,1", "trainer=ddp", "trainer.devices=2", ONE, f"runs={tmp_path}")
    assert ended(*words, CUDA_VISIBLE_DEVICES="4,6")[0] == 0
    assert [gpus for _, _, gpus in starts(tmp_path)] == ["4,6", "4,6"]
    assert at_once(tmp_path) == 1
    status, output = ended(*words, "overwrite=true", "hydra.launcher.devices=[0]")
    assert status == 2 and "trainer.devices=2, but hydra.launcher.devices has 1" in output


def test_a_folder_of_own_configurations(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "ablation").mkdir(parents=True)
    (own / "optimizer").mkdir()
    (own / "optimizer/mine.yaml").write_text("defaults:\n  - adamw@_here_\n\nlr: 0.5\n")
    (own / "ablation/mine.yaml").write_text(
        "# @package _global_\nablation:\n  baseline: ce\n  runs: [loss=ce optimizer=mine]\n  seeds: [3]\n"
    )
    for where in (("--config-dir", str(own)), (f"hydra.searchpath=[{own}]",)):
        runs = tmp_path / str(len(list(tmp_path.iterdir())))
        status, output = ended(*where, "ablation=mine", ONE, f"runs={runs}")
        assert status == 0, output
        (config,) = runs.glob("mine-*/ce-*/seed3/config.yaml")
        assert yaml.safe_load(config.read_text())["optimizer"]["lr"] == 0.5


def test_the_parent_does_without_torch(tmp_path: Path) -> None:
    code = LAUNCHED.replace(
        "sys.exit(", "import atexit; atexit.register(lambda: print(sorted(sys.modules))); sys.exit("
    )
    words = [sys.executable, "-c", code, "ablation=mnist_losses", "seed=0", ONE, f"runs={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    modules = done.stdout.splitlines()[-1]
    assert done.returncode == 0 and "'src.sweep.plugin'" in modules and "'torch'" not in modules


def test_a_run_of_several_processes_is_not_forked(tmp_path: Path) -> None:
    """Its rank 0 starts the others from an interpreter of their own, and is one itself."""
    asked = ("-m", "loss=ce,focal", LONG, "hydra.launcher.jobs=2")
    for more, module in ((("trainer=ddp", "trainer.devices=2"), "tests.sweep.stand_in"), ((), ".sweep.start")):
        process = started(*asked, *more, f"runs={(runs := tmp_path / module.strip('.'))}", TMPDIR=str(tmp_path))
        wait_for(lambda runs=runs: statuses(runs) == ["running"] * 2)
        jobs = running(tmp_path)
        assert len(jobs) == 2
        for pid in jobs:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            assert module in words[:8]
        process.send_signal(signal.SIGTERM)
        process.communicate()


def test_what_forks_starts_with_the_first_job_that_it_forks(tmp_path: Path) -> None:
    """It cannot import what is not there, and the job starts cold."""
    code = LAUNCHED.replace("tests.sweep.composing", "no.such.module")
    for more, needed in ((("trainer=ddp", "trainer.devices=2"), False), (("seed=1",), True)):
        status, output = ended("-m", ONE, f"runs={tmp_path}", *more, code=code)
        assert status == 0, output
        assert ("No module named 'no'" in output) == needed


def test_gpus_that_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, GPU-5")
    assert visible_gpus() == ["1", "GPU-5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


NVML = """
int nvmlInit_v2(void) { return STATUS; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return 0; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(("status", "expected"), [(0, "['0', '1', '2']"), (9, "[]")])
def test_gpus_without_files_in_dev_are_seen(status: int, expected: str, tmp_path: Path) -> None:
    """As under WSL: the driver's library is a stand-in here, which knows of three, or finds no driver (9)."""
    source = tmp_path / "nvml.c"
    source.write_text(NVML)
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", f"-DSTATUS={status}", str(source), "-o", str(library)], check=True)
    code = "import pathlib; from src.sweep.launch import visible_gpus; pathlib.Path.glob = lambda *_: []"
    env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(visible_gpus())"],
        **{"cwd": ROOT, "env": env | {"LD_LIBRARY_PATH": str(tmp_path)}, "capture_output": True, "text": True},
    )
    assert done.stdout.strip() == expected, done.stderr


def test_stop_on_error(tmp_path: Path) -> None:
    words = (
        "-m",
        "loss=hinge,ce,brier",
        ONE,
        f"runs={tmp_path}",
        "hydra.launcher.jobs=1",
        "hydra.launcher.on_error=stop",
    )
    status, output = ended(*words)
    assert status == 1
    assert output.count("job 1/3 started") == 1 and "job 2/3 started" not in output
    assert "  waiting     ce\n  waiting     brier\n    not started" in output


@forked_or_cold
@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_reaches_the_jobs_and_the_same_command_goes_on(
    signum: signal.Signals, code: str, tmp_path: Path
) -> None:
    words = ("ablation=mnist_losses", "seed=0,1", f"runs={tmp_path}", "hydra.launcher.jobs=3")
    process = started(*words, LONG, code=code, TMPDIR=str(tmp_path))
    wait_for(lambda: statuses(tmp_path) == ["running"] * 3)
    assert len(running(tmp_path)) == 3
    process.send_signal(signum)
    output, _ = process.communicate()
    assert process.returncode == 128 + signum, output
    assert f"stopped by {signum.name}, 10 of 10 runs left; the same command resumes it" in output
    assert "Traceback" not in output
    assert statuses(tmp_path) == ["interrupted"] * 3
    assert running(tmp_path) == []


def test_a_signal_is_heard_while_what_forks_imports(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(10**6)\n")
    code = LAUNCHED.replace("tests.sweep.composing", "endless").replace("os.getcwd()", repr(str(tmp_path)))
    process = started("-m", "seed=0,1", LONG, f"runs={tmp_path}", code=code)
    wait_for(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130  # with a message only if all jobs were composed when the signal came
    assert "started" not in output and statuses(tmp_path) == []


@forked_or_cold
def test_killed_parent_leaves_no_orphan(code: str, tmp_path: Path) -> None:
    words = ("ablation=mnist_losses", "seed=0", LONG, f"runs={tmp_path}", "hydra.launcher.jobs=3")
    process = started(*words, code=code, TMPDIR=str(tmp_path))
    wait_for(lambda: len(running(tmp_path)) == 3)
    process.kill()
    process.wait()
    wait_for(lambda: running(tmp_path) == [])
    process.communicate()


@pytest.mark.slow
def test_second_parent_is_refused(tmp_path: Path) -> None:
    words = ("ablation=mnist_losses", "seed=0", "loss=ce,brier,bce", f"runs={tmp_path}", "hydra.launcher.jobs=3")
    process = started(*words, LONG, TMPDIR=str(tmp_path))
    wait_for(lambda: len(running(tmp_path)) == 3)
    before = running(tmp_path)
    status, output = ended(*words, LONG)
    assert status == 2
    assert output == f"xent: {tmp_path}/mnist_losses-max_steps20000: another process is running this ablation\n"
    assert running(tmp_path) == before
    assert ended("ablation=focal_gamma", "loss=ce", "seed=0", ONE, f"runs={tmp_path}")[0] == 0, "another is free"
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert ended(*words, ONE)[0] == 0


@pytest.mark.slow
def test_two_equal_sweeps_share_their_runs(tmp_path: Path) -> None:
    """The second waits for what the first trains, and takes up what the first leaves when it is killed."""
    words = ("-m", "loss=ce,hinge", f"runs={tmp_path}", "hydra.launcher.jobs=2")
    first, second = started(*words, LONG, TMPDIR=str(tmp_path)), None
    try:
        wait_for(lambda: statuses(tmp_path) == ["running"] * 2)
        second = started(*words, LONG, TMPDIR=str(tmp_path))
        assert second.stdout
        line = next(line for line in second.stdout if line.startswith("waiting"))
        assert line == "waiting: another process is training 2 of the runs\n"
        of_first = running(tmp_path)
        assert len(of_first) == 2
        first.kill()
        wait_for(lambda: begun(tmp_path) == [2, 2])
        of_second = running(tmp_path)
        assert len(of_second) == 2 and not {*of_first} & {*of_second}
        assert all(is_held(path.parent) for path in tmp_path.glob("**/seed0/result.json"))
        second.send_signal(signal.SIGTERM)
        output, _ = second.communicate()
        assert second.returncode == 143 and "stopped by SIGTERM, 2 of 2 runs left" in output
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()
    # both at once, to their ends
    pair = [started(*words, "trainer.max_steps=20") for _ in range(2)]
    outputs = [process.communicate()[0] for process in pair]
    assert [process.returncode for process in pair] == [1, 1], outputs
    for output in outputs:
        assert "1 of 2 runs are not finished:\n  failed      hinge   " in output and "very run" not in table_of(output)
    assert len(starts(tmp_path)) == 2, "each was trained once"


def table_of(output: str) -> str:
    return output[output.index("(test, means over seeds)") :]


def test_the_report_is_told_of_every_job(tmp_path: Path) -> None:
    words = ("ablation=mnist_losses", "seed=0,1", ONE, f"runs={tmp_path}", "hydra.launcher.jobs=5")
    assert ended(*words, "loss.gama=1")[0] == 2
    assert list(tmp_path.iterdir()) == []
    assert ended(*words)[0] == 0
    (home,) = tmp_path.iterdir()
    record = yaml.safe_load((home / "sweep.yaml").read_text())
    assert record["baseline"] == "ce"
    assert record["command"] == f"python train.py ablation=mnist_losses seed=0,1 {ONE} runs={tmp_path} {words[-1]}"
    assert [(job["label"], job["seed"], job["lr"]) for job in record["jobs"]] == [
        (loss, seed, 0.002) for seed in (0, 1) for loss in ("ce", "smoothed_ce", "brier", "focal", "bce")
    ]
    for job in record["jobs"]:
        config = yaml.safe_load((home / job["folder"] / "config.yaml").read_text())
        assert (config["choices"]["loss"], config["seed"]) == (job["label"], job["seed"])
        assert f"loss={job['label']}" in job["overrides"]
    names = {path.name for path in tmp_path.rglob("*")}
    assert not names & {"multirun.yaml", ".hydra", "0"}


def test_a_reader_that_leaves_does_not_stop_the_sweep(tmp_path: Path) -> None:
    process = started("-m", "seed=0,1", ONE, f"runs={tmp_path}", "hydra.launcher.jobs=1")
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert statuses(tmp_path) == ["finished"] * 2
