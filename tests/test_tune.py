"""Searches, most of them of processes that stand in for training (tune/stand_in.py), whose best value is known."""

import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from src.config.guard import guarded
from src.sweep import launch
from tests.commands import train
from tests.conftest import ROOT
from tests.holding import holding
from tests.processes import running, wait_for
from tests.sweep import test_launch

SEARCHED = "import os, sys; import src.sweep.launch as launch; import tune; \
from src.config.guard import guarded; \
launch.TRAIN = ['tests.tune.stand_in']; os.environ['PYTHONPATH'] = os.getcwd(); \
launch.IMPORTS = ['tests.sweep.composing']; \
sys.exit(guarded(tune.main))"
SPACE = ("loss=focal", "optimizer.lr=log(1e-4,1)", "loss.gamma=interval(0,4)")
ONE = ("trainer.max_epochs=1", "trainer.max_steps=1")


started = functools.partial(test_launch.started, code=SEARCHED)  # ``tune.py WORDS``, trials by the stand-in
ended = functools.partial(test_launch.ended, code=SEARCHED)


def study(home: Path) -> optuna.Study:
    return optuna.load_study(study_name=home.name, storage=f"sqlite:///{home}/study.db")


def trials(home: Path) -> list[FrozenTrial]:
    return study(home).trials


def results(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in home.glob("**/seed*/result.json")]


def validated(home: Path) -> list[int]:
    """How many validations, 3 at most, each run that has one has."""
    counts = [path.read_text().count("val/nll") for path in home.glob("**/seed0/metrics.csv")]
    return [min(count, 3) for count in counts if count]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to search: give keys several values"),
        (("optimizer.lr=log(1e-4,1)", "trails=3"), "unknown key 'trails'. Did you mean trials?"),
        (("optimizer.lr=log(1e-4,1)", "trials=some"), "trials must be an integer >= 1, got 'some'"),
        (("optimizer.lr=log(1e-4,1)", "jobs=0"), "jobs must be an integer >= 1, got '0'"),
        (("optimizer.lr=log(1e-4,1)", "metric=test/nll"), "metric must be one of the validation's, got 'test/nll'."),
        (("optimizer.lr=log(1e-4,1)", "metric=val/loss"), "metric must be one of the validation's"),
        (("optimizer.lr=log(1e-4,1)", "prune=maybe"), "prune must be true or false, got 'maybe'"),
        (("optimizer.lr=log(1e-4,1)", "optimizer.lr=1"), "optimizer.lr is there twice: optimizer.lr=log(1e-4,1) and"),
        (("optimizer.lr=log(1e-4,1)", "trials=3", "trials=4"), "trials is there twice: trials=3 and trials=4"),
        (("optimizer.lr=log(1e-4,1)", "study=a/b"), "study is a name of one folder, got 'a/b'"),
        (("optimizer.lr=log(1e-4,1)", "seed=0,1"), "seed cannot be searched or set here: a seed is nothing to tune"),
        (("optimizer.lr=log(1e-4,1)", "overwrite=true"), "overwrite cannot be searched or set here"),
        (("optimizer.lr=log(1e-4,1)", "until=verdict"), "a search takes no until=verdict; it goes with an ablation"),
        (("optimizer.lr=log(1e-4,1)", "max_seeds=5"), "a search takes no max_seeds=5"),
        (("optimizer.lr=log(1e-4,1)", "ablation=mnist_losses"), "ablation cannot be searched or set here"),
        (("optimizer.lr=log(1e-4,1)", "-m"), "a search takes no -m"),
        (("optimizer.lr=log(1e-4,1)", "hydra.mode=RUN"), "a search takes no hydra.mode=RUN"),
        (("optimizer.lr=log(1e-4,1)", "data=mnist5k"), "unknown data 'mnist5k'. Did you mean mnist_5k?"),
        (("optimizer.lr=uniform(0,1)",), "optimizer.lr: there is no uniform(...)."),
    ],
)
def test_one_message_for_a_mistake(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    import tune

    monkeypatch.setattr(sys, "argv", ["tune.py", *words, f"runs={tmp_path / 'runs'}"])
    assert guarded(tune.main) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"xent: {message}") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_best_is_found_by_validation_and_its_command_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Test values have the other sign in the stand-in, so that a search by them would tell another."""
    import tune

    status, output = ended(*SPACE, *ONE, f"runs={tmp_path}", "study=s", "trials=5", "jobs=3")
    assert status == 0, output
    assert "5 trials: 5 finished" in output and "Traceback" not in output
    known = trials(tmp_path / "s")
    assert len({trial.params["loss.gamma"] for trial in known}) == 5
    assert sorted(trial.value or 0 for trial in known) == sorted(
        r["metrics"]["val"]["nll"] for r in results(tmp_path / "s")
    )
    best = study(tmp_path / "s").best_trial
    assert f"the best, trial {best.number}: {best.user_attrs['folder']}" in output
    assert output.splitlines()[-1] == "python train.py " + " ".join(
        word for word in best.user_attrs["words"] if not word.startswith("runs=")
    )
    table = output[output.index("trial  val/nll") :].splitlines()[1:6]
    assert [float(row.split()[1]) for row in table] == sorted(round(trial.value or 0, 4) for trial in known)[:5]

    monkeypatch.setattr(sys, "argv", ["tune.py", *SPACE, *ONE, f"runs={tmp_path}", "study=s", "trials=5"])
    assert guarded(tune.main) == 0
    again = capsys.readouterr().out
    assert "started" not in again and again.splitlines()[-1] == output.splitlines()[-1]
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-1], "trials=6", "seed=1"])
    assert guarded(tune.main) == 2
    assert capsys.readouterr().err.startswith(f"xent: {tmp_path}/s has another words: ")
    assert len(trials(tmp_path / "s")) == 5


@pytest.mark.slow
def test_what_a_run_does_not_measure_is_told_at_its_first_validation(tmp_path: Path) -> None:
    """The stand-in knows its nll only, and each trial would take minutes."""
    words = (*SPACE, "trainer.max_epochs=1000", "trainer.max_steps=20", f"runs={tmp_path}", "study=s", "jobs=3")
    status, output = ended(*words, "metric=val/accuracy")
    assert status == 1
    known = trials(tmp_path / "s")
    assert 3 <= len(known) <= 5, "two more may have begun before the third ended"
    assert {trial.state for trial in known} == {TrialState.FAIL}
    told = "    its validations have no val/accuracy; a search of such runs can be for val/nll\n"
    assert output.count(told) == len(known)
    assert "trials failed and none did better" in output and "Traceback" not in output
    assert {result["status"] for result in results(tmp_path / "s")} == {"interrupted"}


@pytest.mark.slow
def test_a_failure_is_told_and_stops_no_other(tmp_path: Path) -> None:
    words = ("loss=focal", "loss.gamma=1,3,9", "optimizer.lr=0.01", *ONE, f"runs={tmp_path}", "study=s", "trials=9")
    status, output = ended(*words, "jobs=2")
    assert status == 0, output
    known = trials(tmp_path / "s")
    assert {trial.state for trial in known} == {TrialState.COMPLETE, TrialState.FAIL}
    assert all((trial.state == TrialState.FAIL) == (trial.params["loss.gamma"] == "9") for trial in known)
    assert "fail  " in output and "    NonFiniteError: became nan\n    folder: " in output
    assert len(list(tmp_path.glob("s/*/*/seed0/starts"))) <= 3
    assert all(len(path.read_text().splitlines()) == 1 for path in tmp_path.rglob("starts")), "trials alike share a run"


@pytest.mark.slow
def test_where_all_fail_it_gives_up(tmp_path: Path) -> None:
    words = ("loss=focal", "loss.gamma=interval(5,9)", *ONE, f"runs={tmp_path}", "study=s", "trials=9")
    status, output = ended(*words)
    assert status == 1
    assert "3 trials failed and none did better, so no other was tried" in output
    assert len(trials(tmp_path / "s")) == 3


@pytest.mark.slow
def test_pruned_by_its_validations(tmp_path: Path) -> None:
    """Five finished trials that were better from the second validation on; the next one is stopped then."""
    slow = ("trainer.max_epochs=500", "trainer.max_steps=20", f"runs={tmp_path}", "study=s")
    home = tmp_path / "s"
    process = started(*SPACE, *slow, GATE=str(tmp_path / "gate"))
    wait_for(lambda: validated(home) == [3])
    assert ended(*SPACE, *slow) == (2, f"xent: {home}: another process is at this very search\n")
    process.kill()
    process.communicate()
    (first,) = trials(home)
    for _ in range(5):
        study(home).add_trial(
            optuna.create_trial(
                params=first.params,
                distributions=first.distributions,
                value=-9,
                intermediate_values=dict.fromkeys(range(500), -9),
                user_attrs={"words": ["loss=focal", "optimizer.lr=1", "loss.gamma=1"], "folder": "nowhere"},
            )
        )
    status, output = ended(*SPACE, *slow, "trials=7")
    assert status == 0, output
    known = trials(home)
    assert [trial.state.name for trial in known] == ["PRUNED", *["COMPLETE"] * 5, "PRUNED"]
    assert len(known[0].intermediate_values) == 3 and 1 < len(known[6].intermediate_values) < 250
    folders = [Path(known[i].user_attrs["folder"]) for i in (0, 6)]
    told = [json.loads((folder / "result.json").read_text())["status"] for folder in folders]
    assert told == ["running", "interrupted"], "the first was killed, and is given up without a start"
    assert [len((folder / "starts").read_text().splitlines()) for folder in folders] == [1, 1]
    assert "2 pruned" in output


@pytest.mark.slow
def test_a_signal_lets_trials_save_and_the_same_command_goes_on(tmp_path: Path) -> None:
    words = (
        *SPACE,
        f"runs={tmp_path}",
        "study=s",
        "trials=2",
        "jobs=2",
        "trainer.max_epochs=10",
        "trainer.max_steps=1",
    )
    process = started(*words, GATE=str(tmp_path / "gate"))
    wait_for(lambda: validated(tmp_path / "s") == [3, 3])
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 143, output
    assert "stopped by SIGTERM; the same command resumes it" in output
    assert "Traceback" not in output
    assert [result["status"] for result in results(tmp_path / "s")] == ["interrupted"] * 2
    assert len(results(tmp_path)) == 2, "no run lies elsewhere"
    status, output = ended(*words)
    assert status == 0 and "2 trials: 2 finished" in output
    starts = [path.read_text().splitlines() for path in tmp_path.rglob("starts")]
    assert all(len(lines) == 2 and lines[0] == "0" and int(lines[1]) == 3 for lines in starts), starts


@pytest.mark.slow
def test_a_trial_killed_while_it_was_drawn_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna writes a trial down first, then each of its values."""
    import tune

    def search(trials: int) -> int:
        """``tune.py`` in this process, with the stand-in for its trials."""
        monkeypatch.setattr(launch, "TRAIN", ("tests.tune.stand_in",))
        monkeypatch.setattr(launch, "IMPORTS", ["tests.sweep.composing"])
        monkeypatch.setattr(sys, "argv", ["tune.py", *SPACE, *ONE, f"runs={tmp_path}", "study=s", f"trials={trials}"])
        return guarded(tune.main)

    home, before = tmp_path / "s", tmp_path / "before"
    assert search(1) == 0
    shutil.copytree(home, before)
    assert search(2) == 0
    calm = trials(home)
    for drawn in (0, 1):
        shutil.rmtree(home)
        shutil.copytree(before, home)
        killed = study(home)
        killed.sampler = optuna.samplers.TPESampler(seed=1, constant_liar=True)
        killed.ask({key: calm[1].distributions[key] for key in ("optimizer.lr", "loss.gamma")[:drawn]})
        assert len(trials(home)[1].params) == drawn
        assert search(2) == 0
        assert [trial.params for trial in trials(home)] == [trial.params for trial in calm]


@pytest.mark.slow
def test_killed_again_and_again_it_asks_for_the_same_trials(tmp_path: Path) -> None:
    """More than the ten that are drawn at random, so that the sampler's model is in it."""
    words = (*SPACE, "trials=14", "study=s", "prune=false", "trainer.max_epochs=4", "trainer.max_steps=2")
    begin = time.monotonic()
    assert ended(*words, f"runs={tmp_path / 'calm'}")[0] == 0
    seconds = (time.monotonic() - begin) / 14  # a trial
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"kills drawn from seed {seed}")
    rng, home = random.Random(seed), tmp_path / "chaos/s"
    for finished in (0, 1, 2, 4, 6):  # so many runs at least, then at any moment
        process = started(*words, f"runs={tmp_path / 'chaos'}", TMPDIR=str(tmp_path))
        wait_for(
            lambda n=finished, process=process: (
                process.poll() is not None or sum(result["status"] == "finished" for result in results(home)) >= n
            )
        )
        time.sleep(rng.uniform(0, 2 * seconds))
        process.kill()
        process.communicate()
        wait_for(lambda: not running(tmp_path))
    status, output = ended(*words, f"runs={tmp_path / 'chaos'}")
    assert status == 0, output
    calm, chaos = (trials(tmp_path / name / "s") for name in ("calm", "chaos"))
    assert [(trial.params, trial.value) for trial in calm] == [(trial.params, trial.value) for trial in chaos]
    assert len(chaos) == 14


@pytest.mark.slow
def test_real_trials(tmp_path: Path) -> None:
    """Killed while it trains, gone on with; the told command trains the best trial bit for bit."""
    small = ("logger=csv", "figures=false", "trainer=cpu", "model.widths=[16]", "trainer.max_epochs=4")
    words = (*small, "loss=focal", "optimizer.lr=log(1e-5,1e-1)", f"runs={tmp_path}", "study=s", "trials=4")
    command = [sys.executable, "tune.py", *words, "checkpoint.every_n_steps=5"]
    held = {**os.environ, "TMPDIR": str(tmp_path), **holding(1, tmp_path / "holding")}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=held)
    wait_for(lambda: list(tmp_path.glob("s/*/*/seed0/checkpoints/last.ckpt")))
    process.kill()
    process.wait()
    wait_for(lambda: not running(tmp_path))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    known = trials(tmp_path / "s")
    assert [trial.state for trial in known] == [TrialState.COMPLETE] * 4
    for trial in known:
        result = json.loads((Path(trial.user_attrs["folder"]) / "result.json").read_text())
        assert result["metrics"]["val"]["nll"] == trial.value
    told = re.sub("^python train.py ", "", done.stdout.splitlines()[-1]).replace("'", "").split()
    assert train(*told, f"runs={tmp_path / 'again'}") == 0
    (again,) = (tmp_path / "again").glob("**/seed0/result.json")
    assert json.loads(again.read_text())["metrics"]["val"]["nll"] == min(trial.value or 0 for trial in known)


@pytest.mark.slow
def test_a_pruned_run_can_be_finished_later(tmp_path: Path) -> None:
    """The sixth trial has the smallest learning rate, and is stopped early.

    A pause at each checkpoint, so that 40 epochs take two seconds at least, in which tune.py looks at them four times.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\nsys.addaudithook(lambda event, args: time.sleep(0.05) if event == 'os.rename' else None)\n"
    )
    small = ("logger=csv", "figures=false", "trainer=cpu", "model.widths=[16]", "trainer.max_epochs=40")
    small = (*small, "checkpoint.every_n_steps=56")  # an epoch: a checkpoint at each validation, however soon
    words = (*small, "optimizer.lr=log(1e-7,1e-1)", f"runs={tmp_path}", "study=s", "trials=6")
    command = [sys.executable, "tune.py", *words]
    paced = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=paced)
    assert done.returncode == 0, done.stdout + done.stderr
    known = trials(tmp_path / "s")
    pruned = [trial for trial in known if trial.state == TrialState.PRUNED]
    assert [trial.number for trial in pruned] == [5], done.stdout
    assert pruned[0].params["optimizer.lr"] == min(trial.params["optimizer.lr"] for trial in known)
    folder = Path(pruned[0].user_attrs["folder"])
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert train(f"resume={folder}") == 0
    assert json.loads((folder / "result.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_it_does_without_torch(tmp_path: Path) -> None:
    code = SEARCHED.replace(
        "sys.exit(", "import atexit; atexit.register(lambda: print('torch' in sys.modules)); sys.exit("
    )
    words = [*SPACE, *ONE, f"runs={tmp_path}", "trials=1"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "False", done.stdout + done.stderr
    (home,) = tmp_path.iterdir()
    assert re.fullmatch(r"tune-mnist_5k-mlp-[0-9a-f]{8}", home.name)
