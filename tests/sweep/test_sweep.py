"""Sweeps of real runs: what they train is what single commands train, whatever is killed in between."""

import json
import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands import QUIET, process, result_of, train
from tests.holding import holding
from tests.processes import running, wait_for
from tests.runs.test_exactness import assert_same_run, step_of

SMALL = ("logger=csv", "trainer=cpu", "model.widths=[16]", "trainer.max_steps=20")


def swept(*words: str) -> tuple[int, str]:
    child = process(*words)
    output, errors = child.communicate()
    return child.returncode, output + errors


@pytest.mark.slow
def test_a_sweep_trains_what_single_commands_train(tmp_path: Path) -> None:
    """One job is fine, one has a value that its loss refuses, one diverges; then all is told again, trained once."""
    words = ("-m", *SMALL, "loss=focal", "loss.gamma=2.0,-1", "optimizer.lr=1e-3,1e30", f"runs={tmp_path / 'many'}")
    status, output = swept(*words)
    assert status == 1, output
    assert "  failed      focal gamma=-1 lr=1e-3\n" in output
    assert "loss.gamma must be a number >= 0, got -1" in output
    assert "NonFiniteError: the loss (loss=focal) became" in output
    assert "3 of 4 runs are not finished" in output
    assert train(*SMALL, "trainer.threads=1", "loss=focal", "optimizer.lr=1e-3", f"runs={tmp_path / 'one'}") == 0
    (one,) = (tmp_path / "one").glob("**/seed0")
    (many,) = (tmp_path / "many").glob(f"*/*-{one.parent.name[-8:]}/seed0")
    assert_same_run(one, many)
    start = time.monotonic()
    words = tuple(word.replace("2.0,-1", "2.0") for word in words)
    status, output = swept(*words)
    assert status == 1 and "1 of 2 runs are not finished" in output
    assert_same_run(one, many)
    print(f"told again in {time.monotonic() - start:.1f} s")


@pytest.mark.slow
def test_two_equal_sweeps_at_a_time(tmp_path: Path) -> None:
    """Whichever comes first to a run trains it, the other waits for it: both end well, each run is trained once."""
    words = ("-m", *SMALL[:-1], "trainer.max_epochs=6", "loss=ce,focal", "hydra.launcher.jobs=2")
    pair = [process(*words, f"runs={tmp_path}") for _ in range(2)]
    outputs = ["".join(child.communicate()) for child in pair]
    assert [child.returncode for child in pair] == [0, 0], outputs
    rows = [re.findall(r"^(\w+) {2,}1/1 ", output, re.MULTILINE) for output in outputs]  # of the table at the end
    assert rows == [["ce", "focal"]] * 2, outputs
    for run in tmp_path.glob("**/seed0"):
        assert (run / "metrics.csv").read_text().count(",test/nll,") == 1
        assert (run / "train.log").read_text().count("validation every") == 1
    assert len(list(tmp_path.glob("**/seed0"))) == 2


@pytest.mark.slow
def test_another_launcher(tmp_path: Path) -> None:
    """Hydra's own runs the jobs in this very process, as cluster launchers do in theirs."""
    words = ("-m", *SMALL, "trainer.threads=1", "loss=ce,focal", "hydra/launcher=basic", f"runs={tmp_path}")
    status, output = swept(*words, "data.val_fraction=0.1,2")
    assert status == 1, output
    assert "2 of 4 runs are not finished" in output
    assert "data.val_fraction must be" in output
    results = [json.loads(path.read_text()) for path in tmp_path.glob("**/seed0/result.json")]
    assert [result["status"] for result in results] == ["finished"] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"mnist_5k-mlp"}


@pytest.mark.slow
def test_data_that_may_have_changed_is_looked_at_again(tmp_path: Path) -> None:
    """A text has no fixed checksum: the same words with another text are another run."""
    text = tmp_path / "text"
    small = ("data=text_file", f"data.path={text}", "data.block_size=8", "model=gpt", "model.n_layer=1")
    words = ("-m", *QUIET, *small, "model.n_head=1", "model.n_embd=8", "samples.count=0", "trainer.max_steps=2")
    for content in ("to be or not ", "a rose is a rose "):
        text.write_text(content * 99)
        status, output = swept(*words, f"runs={tmp_path / 'runs'}")
        assert status == 0 and " started " in output, output
    assert len(list((tmp_path / "runs").glob("**/seed0"))) == 2


@pytest.mark.slow
def test_killed_at_random_until_all_is_done(tmp_path: Path) -> None:
    """Children and parents are killed; in the end each run is finished once, bit for bit the undisturbed one.

    No start of a run makes more than 40 of its more than 180 checkpoints before it is killed: 12 kills cannot come too
    late, since all starts before the last of them (2, one after each killed child, two after each parent, 6 after
    runs that finished) make fewer than the 6 runs need.
    """
    long = ("trainer.max_steps=3000", "trainer.max_epochs=100", "checkpoint.every_n_steps=20", "model.dropout=0.3")
    small = ("-m", "logger=csv", "trainer=cpu", "model.widths=[16]", "hydra.launcher.jobs=2")
    words = (*small, *long, "loss=ce,focal,brier", "seed=0,1")
    status, output = swept(*words, f"runs={tmp_path / 'calm'}")
    assert status == 0, output
    calm = sorted((tmp_path / "calm").glob("**/seed*"))
    assert len(calm) == 6
    longest = sum(result_of(run)["run"]["seconds"] for run in calm) / 12  # half a run
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"kills drawn from seed {seed}, in up to {longest:.1f} s")
    rng, runs = random.Random(seed), tmp_path / "chaos"
    held = {"TMPDIR": str(tmp_path), **holding(40, tmp_path / "holding")}

    def start() -> subprocess.Popen[str]:
        return process(*words, f"runs={runs}", env=held)

    for _ in range(4):
        parent = start()
        for target in ("child", "child", "parent"):
            killed = False
            while not killed:
                wait_for(lambda parent=parent: running(tmp_path) or parent.poll() is not None)
                time.sleep(rng.uniform(0, longest))
                if parent.poll() is not None:  # all of its jobs were killed or are finished
                    assert parent.returncode == 1, "".join(parent.communicate())
                    parent = start()
                elif victims := ([parent.pid] if target == "parent" else running(tmp_path)):
                    with suppress(ProcessLookupError):
                        os.kill(rng.choice(victims), signal.SIGKILL)
                        killed = True
        parent.communicate()
        wait_for(lambda: not running(tmp_path))
    finished = sum(result_of(run)["status"] == "finished" for run in runs.glob("**/seed*"))
    print(f"after 12 kills {finished} runs are finished")
    status, output = swept(*words, f"runs={runs}")
    assert status == 0, output
    assert len(list(runs.glob("**/seed*"))) == 6
    for run in calm:
        other = runs / run.relative_to(tmp_path / "calm")
        assert_same_run(run, other)
        rows = (other / "metrics.csv").read_text().splitlines()
        steps = [row.split(",")[0] for row in rows if ",test/nll," in row]
        assert len(steps) == 1, "tested twice"
        assert step_of(other / "checkpoints/last.ckpt") == int(steps[0])
