"""A run stopped anywhere and finished later is, bit for bit, the run never stopped."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.callbacks.checkpoint import ExactCheckpoint
from tests.commands import QUIET, only_run, process, train

EXTRAS = (
    *("ema.decay=0.9", "trainer.accumulate_grad_batches=2", "trainer.val_every_n_steps=5", "trainer.max_epochs=3"),
    *("early_stopping.patience=50", "checkpoint.best=true", "trainer.gradient_clip_val=0.5"),
)
MLP = (
    *("data=mnist_5k", "data.train_examples=500", "data.pad=2", "data.flip=true", "data.eval_batch_size=300"),
    *("model=mlp", "model.widths=[32]", "model.dropout=0.3", "trainer.max_epochs=2", "trainer.log_every_n_steps=3"),
    *("scheduler.warmup_steps=3", "checkpoint.every_n_steps=2"),
)
RESNET = (
    *("data=mnist_5k", "data.train_examples=200", "data.pad=2", "model=resnet", "model.depth=8", "optimizer=sgd"),
    *("trainer.max_steps=7", "data.batch_size=20", "checkpoint.every_n_steps=2", "trainer.log_every_n_steps=2"),
    "trainer.limit_eval_batches=1",
)
GPT = (
    *("data=python_docs", "data.block_size=16", "data.batch_size=4", "model=gpt"),
    *("model.n_layer=2", "model.n_head=2", "model.n_embd=16", "model.dropout=0.2", "samples.length=20"),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=14", "trainer.log_every_n_steps=3"),
    *("scheduler.warmup_steps=3", "checkpoint.every_n_steps=2", "trainer.limit_eval_batches=3"),
)
CASES = {
    "mlp": MLP,
    "mlp-extras": MLP + EXTRAS,
    "resnet": RESNET,
    "mixup": (*MLP, "data.mixup=mixup", "data.label_noise=0.2", "data.imbalance=3", "loss=bce"),
    "gpt": GPT,
    "gpt-extras": (*GPT, *EXTRAS),
}


def assert_same(a: Any, b: Any, path: str) -> None:
    """Equal in every bit, through nested containers."""
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), path
    else:
        assert a == b or (a != a and b != b), (path, a, b)


def assert_same_run(a: Path, b: Path) -> None:
    """Everything but the clock."""
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (a, b))
    for checkpoint in (first, second):
        checkpoint["callbacks"]["Recorder"].pop("timing_length")
    assert_same(first, second, "checkpoint")
    assert (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()
    assert (a / "weights.safetensors").read_bytes() == (b / "weights.safetensors").read_bytes()
    results = [json.loads((run / "result.json").read_text()) for run in (a, b)]
    for result in results:
        result.pop("run")
    assert results[0] == results[1]
    assert results[0]["status"] == "finished"
    with np.load(a / "predictions.npz") as one, np.load(b / "predictions.npz") as other:
        assert {name: one[name].tobytes() for name in one} == {name: other[name].tobytes() for name in other}
    if (a / "samples.txt").exists():
        assert (a / "samples.txt").read_bytes() == (b / "samples.txt").read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_resume_from_every_checkpoint(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*QUIET, *CASES[case])
    snapshots: list[Path] = []
    save = ExactCheckpoint._save

    def save_and_copy(self: ExactCheckpoint, *args: Any) -> None:
        save(self, *args)
        snapshots.append(tmp_path / f"snapshot{len(snapshots)}")
        shutil.copytree(self.folder.parent, snapshots[-1])

    with monkeypatch.context() as patch:
        patch.setattr(ExactCheckpoint, "_save", save_and_copy)
        assert train(*words, f"runs={tmp_path / 'whole'}") == 0
    whole = only_run(tmp_path / "whole")
    assert len(snapshots) >= 4
    for snapshot in snapshots:
        resumed = tmp_path / "resumed" / whole.relative_to(tmp_path / "whole")
        shutil.rmtree(tmp_path / "resumed", ignore_errors=True)
        shutil.copytree(snapshot, resumed)
        with (resumed / "metrics.csv").open("a") as file:  # rows of steps after the checkpoint, as a killed run leaves
            file.write("999,9,9,train/loss,9\nhalf a r")
        assert train(*words, f"runs={tmp_path / 'resumed'}") == 0
        assert_same_run(whole, resumed)


def kill_until_finished(words: tuple[str, ...], kills: int, rng: random.Random, longest: float) -> int:
    """Start, SIGKILL after a random time, start again ...; then let it finish. How many were killed while training."""
    done = 0
    attempts = 0
    while done < kills and attempts < 3 * kills:
        attempts += 1
        child = process(*words)
        for line in child.stdout or []:  # imports take seconds; the run begins here
            if line.startswith("run folder"):
                break
        time.sleep(rng.uniform(0, longest))
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            done += 1
        child.communicate()
        if child.returncode == 0:
            break
    final = process(*words)
    output, errors = final.communicate()
    assert final.returncode == 0, output + errors
    return done


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_leaves_a_run_that_goes_on(signum: signal.Signals, tmp_path: Path) -> None:
    words = (*QUIET, *MLP, "trainer.max_epochs=100")
    child = process(*words, f"runs={tmp_path / 'stopped'}")
    assert child.stdout
    while "epoch 2 " not in child.stdout.readline():
        assert child.poll() is None, child.stderr and child.stderr.read()
    child.send_signal(signum)
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 128 + signum, output + errors
    run = only_run(tmp_path / "stopped")
    assert json.loads((run / "result.json").read_text())["status"] == "interrupted"
    step = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert 10 < step < 700
    if signum == signal.SIGTERM:
        assert train(f"resume={run}") == 0
        assert train(*words, f"runs={tmp_path / 'whole'}") == 0
        assert_same_run(only_run(tmp_path / "whole"), run)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    words = (*QUIET, *MLP, *EXTRAS, "trainer.max_epochs=60", "checkpoint.every_n_steps=1")
    assert train(*words, f"runs={tmp_path / 'whole'}") == 0
    kill_until_finished((*words, f"runs={tmp_path / 'killed'}"), 3, random.Random(0), 1.5)
    assert_same_run(only_run(tmp_path / "whole"), only_run(tmp_path / "killed"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", ["mlp", "mlp-extras", "gpt", "gpt-extras"])
def test_killed_many_times_at_random_moments(case: str, tmp_path: Path) -> None:
    """A checkpoint after every step, so that some kills fall inside a write."""
    longer = ("trainer.max_epochs=100", "checkpoint.every_n_steps=1")
    words = (*QUIET, *CASES[case], *longer)
    assert train(*words, f"runs={tmp_path / 'whole'}") == 0
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"kills drawn from seed {seed}")
    killed = kill_until_finished((*words, f"runs={tmp_path / 'killed'}"), 20, random.Random(seed), 0.8)
    assert killed >= 20, "the run was too short to be killed 20 times"
    assert_same_run(only_run(tmp_path / "whole"), only_run(tmp_path / "killed"))


def test_the_same_command_twice_gives_the_same_bits(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert train(*QUIET, *RESNET, f"runs={tmp_path / name}") == 0
    assert_same_run(only_run(tmp_path / "one"), only_run(tmp_path / "two"))


def test_a_reader_that_leaves_does_not_stop_the_run(tmp_path: Path) -> None:
    """``python train.py | head -1``."""
    child = process(*QUIET, *MLP, f"runs={tmp_path}")
    assert child.stdout
    assert child.stderr
    child.stdout.readline()
    child.stdout.close()
    errors = child.stderr.read()
    assert child.wait(timeout=60) == 0
    assert errors == ""
    assert json.loads((only_run(tmp_path) / "result.json").read_text())["status"] == "finished"
