"""However a run of several processes ends, what it leaves is right, and no rank is left behind."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.commands import only_run, process, result_of, train
from tests.holding import at_work, holding
from tests.processes import alive, wait_for
from tests.runs.teams import EXTRAS, GPT, MLP, ONE, RESNET, TWO, finished, ranks_of, started
from tests.runs.test_exactness import assert_same_run, step_of

SOON = 120.0  # seconds in which the loss of a rank is told, on any machine; gloo alone waits half an hour


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "kills"),
    [
        ((*MLP, "model.dropout=0.3", *EXTRAS), ("first", "second", "both")),
        ((*RESNET, *EXTRAS), ("second",)),
        ((*GPT, "model.dropout=0.2"), ("first",)),
    ],
    ids=["mlp", "resnet", "gpt"],
)
def test_killed_and_finished_is_the_run_never_killed(
    words: tuple[str, ...], kills: tuple[str, ...], tmp_path: Path
) -> None:
    """SIGKILL of rank 0 (the second dies with it), and of the second, which rank 0 then tells."""
    words = (*TWO, *words, "trainer.max_steps=120", "checkpoint.every_n_steps=1")
    finished(*words, f"runs={tmp_path / 'whole'}")
    whole = only_run(tmp_path / "whole")
    run = tmp_path / "killed" / whole.relative_to(tmp_path / "whole")
    words, held = (*words, f"runs={tmp_path / 'killed'}", "retry_failed=true"), holding(30, tmp_path / "holding")
    rng, longest = random.Random(0), 30 / 120 * result_of(whole)["run"]["training_seconds"]
    for whom in kills:
        child = at_work(words, run, held)
        (other,) = ranks_of(child.pid)
        time.sleep(rng.uniform(0, longest))
        for pid in {"first": (child.pid,), "second": (other,), "both": (other, child.pid)}[whom]:
            os.kill(pid, signal.SIGKILL)
        output, errors = child.communicate(timeout=SOON)
        wait_for(lambda pid=other: not alive(pid))
        result = result_of(run)
        if whom == "second":
            assert child.returncode == 1, output + errors
            assert result["status"] == "failed"
            assert result["error"] == "rank 1 was killed by SIGKILL"
            assert "the run failed: rank 1 was killed by SIGKILL" in output
        else:
            assert result["status"] == "running"
    finished(*words)
    assert_same_run(whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_leaves_a_run_that_goes_on(signum: signal.Signals, tmp_path: Path) -> None:
    words = (*TWO, *MLP, "model.dropout=0.3", "trainer.max_steps=1500", "trainer.max_epochs=null")
    words = (*words, "trainer.val_every_n_steps=400")
    held = holding(1, tmp_path / "holding")  # at the validation of step 800, should the signal come so late
    child, other = started(*words, f"runs={tmp_path / 'stopped'}", env=held)
    child.send_signal(signum)
    output, errors = child.communicate()
    assert child.returncode == 128 + signum, output + errors
    assert errors == ""
    wait_for(lambda: not alive(other))
    run = only_run(tmp_path / "stopped")
    assert result_of(run)["status"] == "interrupted"
    assert 0 < step_of(run / "checkpoints/last.ckpt") < 1500
    if signum == signal.SIGTERM:  # what a run leaves is the same for both
        finished(f"resume={run}")
        finished(*words, f"runs={tmp_path / 'whole'}")
        assert_same_run(only_run(tmp_path / "whole"), run)


@pytest.mark.slow
def test_a_rank_that_raises_ends_the_run(tmp_path: Path) -> None:
    """An error on one rank alone, as out of memory is: it is raised in the second rank's main thread by a signal."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "def fault(*_):\n    raise MemoryError('made up')\n"
        "if os.environ.get('RANK') == '1':\n    signal.signal(signal.SIGUSR1, fault)\n"
    )
    words = (*TWO, *MLP, "trainer.max_steps=100000", f"runs={tmp_path / 'runs'}")
    child, other = started(*words, env={"PYTHONPATH": str(tmp_path)})
    os.kill(other, signal.SIGUSR1)
    output, errors = child.communicate(timeout=SOON)
    assert child.returncode == 1, output + errors
    wait_for(lambda: not alive(other))
    result = result_of(only_run(tmp_path / "runs"))
    assert (result["status"], result["error"]) == ("failed", "rank 1: MemoryError: made up")
    assert "Traceback" not in output + errors


@pytest.mark.slow
def test_a_lost_rank_is_noticed_by_a_first_rank_that_waits(tmp_path: Path) -> None:
    """As NCCL may wait for ever for a rank that died; here rank 0's main thread is put to sleep."""
    asleep = tmp_path / "asleep"
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib, signal, time\n"
        f"def sleep(*_):\n    pathlib.Path({str(asleep)!r}).touch()\n    time.sleep(10**6)\n"
        "signal.signal(signal.SIGUSR1, sleep)\n"
    )
    words = (*TWO, *MLP, "trainer.max_steps=100000", f"runs={tmp_path / 'runs'}")
    child, other = started(*words, env={"PYTHONPATH": str(tmp_path)})
    child.send_signal(signal.SIGUSR1)
    wait_for(asleep.exists)
    os.kill(other, signal.SIGKILL)
    output, errors = child.communicate(timeout=SOON)
    assert child.returncode == 1, output + errors
    result = result_of(only_run(tmp_path / "runs"))
    assert (result["status"], result["error"]) == ("failed", "rank 1 was killed by SIGKILL")


@pytest.mark.slow
def test_non_finite_loss_is_told_once_and_as_by_one_process(tmp_path: Path) -> None:
    words = (*MLP, "optimizer=sgd", "optimizer.lr=1e30", "trainer.max_steps=30", "model.dropout=0")
    said = finished(*TWO, *words, f"runs={tmp_path / 'two'}", status=1)
    assert said.count("the run failed") == 1
    assert train(*ONE, *words, f"runs={tmp_path / 'one'}") == 1
    one, two = (result_of(only_run(tmp_path / name)) for name in ("one", "two"))
    assert two["status"] == "failed"
    step = one["error"].partition(":")[0], one["error"].partition("at ")[2]
    assert (two["error"].partition(":")[0], two["error"].partition("at ")[2]) == step


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_rank(tmp_path: Path) -> None:
    words = (*TWO, *MLP, "trainer.max_steps=100000", "checkpoint.every_n_steps=10", f"runs={tmp_path}")
    child = process("-m", *words)
    wait_for(lambda: list(tmp_path.glob("**/seed0/checkpoints/last.ckpt")))
    (first,) = ranks_of(child.pid)
    (second,) = ranks_of(first)
    child.kill()
    child.communicate()
    wait_for(lambda: not (alive(first) or alive(second)))
