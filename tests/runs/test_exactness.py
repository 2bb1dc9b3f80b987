"""A run stopped anywhere and finished later is, bit for bit, the run never stopped."""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.callbacks import checkpoint as checkpoints
from src.callbacks.checkpoint import ExactCheckpoint
from tests.commands import QUIET, only_run, process, result_of, train
from tests.holding import at_work, holding

EXTRAS = (
    *("ema.decay=0.9", "trainer.accumulate_grad_batches=2", "trainer.val_every_n_steps=5", "trainer.max_epochs=3"),
    *("early_stopping.patience=50", "checkpoint.best=true", "trainer.gradient_clip_val=0.5"),
)
MLP = (
    *("data=mnist_5k", "data.train_examples=500", "data.pad=2", "data.flip=true", "data.eval_batch_size=300"),
    *("data.cutout=8", "model=mlp", "model.widths=[32]", "model.dropout=0.3", "trainer.max_epochs=2"),
    *("trainer.log_every_n_steps=3", "scheduler.warmup_steps=3", "checkpoint.every_n_steps=2"),
)
RESNET = (
    *("data=mnist_5k", "data.train_examples=200", "data.pad=2", "model=resnet", "model.depth=8", "optimizer=sgd"),
    *("trainer.max_steps=7", "data.batch_size=20", "checkpoint.every_n_steps=2", "trainer.log_every_n_steps=2"),
    *("trainer.limit_eval_batches=1", "data.eval_batch_size=50"),
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
    "gpt-extras": (*GPT, *EXTRAS, "trainer.limit_train_batches=8"),
    "gpt-muon": (
        *(*GPT, "optimizer=muon", "optimizer.adamw_lr=1e-3", "scheduler=wsd", "scheduler.warmup_steps=3"),
        *("trainer.limit_train_batches=9", "trainer.gradient_clip_val=0.5", "ema.decay=0.9"),
    ),
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
    """Everything but the clock, on which it also depends how many steps Lightning sees as one of its batches."""
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (a, b))
    for checkpoint in (first, second):
        checkpoint["callbacks"]["Recorder"].pop("timing")
        for count in ("state_dict", "batch_progress"):
            checkpoint["loops"]["fit_loop"].pop(f"epoch_loop.{count}")
    assert_same(first, second, "checkpoint")
    assert (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes()
    assert (a / "weights.safetensors").read_bytes() == (b / "weights.safetensors").read_bytes()
    results = [result_of(run) for run in (a, b)]
    for result in results:
        result.pop("run")
    assert results[0] == results[1]
    assert results[0]["status"] == "finished"
    with np.load(a / "predictions.npz") as one, np.load(b / "predictions.npz") as other:
        assert {name: one[name].tobytes() for name in one} == {name: other[name].tobytes() for name in other}
    if (a / "samples.txt").exists():
        assert (a / "samples.txt").read_bytes() == (b / "samples.txt").read_bytes()
    drawn = [{p.relative_to(run): p.read_bytes() for p in run.glob("*/s*.png")} for run in (a, b)]
    assert drawn[0] == drawn[1]


@contextlib.contextmanager
def snapshots_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Copies of a run's folder, one after each checkpoint that is written meanwhile."""
    snapshots: list[Path] = []
    save = ExactCheckpoint._save

    def save_and_copy(self: ExactCheckpoint, *args: Any) -> None:
        save(self, *args)
        snapshots.append(folder / f"snapshot{len(snapshots)}")
        shutil.copytree(self.folder.path, snapshots[-1])

    with monkeypatch.context() as patch:
        patch.setattr(ExactCheckpoint, "_save", save_and_copy)
        yield snapshots


# Of a default test's checkpoints the second, which is early in training, and one in the middle: a slow one takes all.
two_or_all = pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["two", "all"])


@two_or_all
@pytest.mark.parametrize("case", CASES)
def test_resume_from_checkpoints(case: str, every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resume_from_every_checkpoint((*QUIET, *CASES[case]), tmp_path, monkeypatch, every)


def resume_from_every_checkpoint(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: bool = True
) -> None:
    """Train once, then once more from each checkpoint of that, or else from two of them: the same run."""
    with snapshots_in(tmp_path, monkeypatch) as snapshots:
        assert train(*words, f"runs={tmp_path / 'whole'}") == 0
    whole = only_run(tmp_path / "whole")
    assert len(snapshots) >= (3 if every else 4)
    for snapshot in snapshots if every else (snapshots[1], snapshots[len(snapshots) // 2 + 1]):
        resumed = tmp_path / "resumed" / whole.relative_to(tmp_path / "whole")
        shutil.rmtree(tmp_path / "resumed", ignore_errors=True)
        shutil.copytree(snapshot, resumed)
        with (resumed / "metrics.csv").open("a") as file:  # rows of steps after the checkpoint, as a killed run leaves
            file.write("999,9,9,train/loss,9\nhalf a r")
        assert train(*words, f"runs={tmp_path / 'resumed'}") == 0
        assert_same_run(whole, resumed)


def step_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)["global_step"]


@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_signal_leaves_a_run_that_goes_on(signum: signal.Signals, tmp_path: Path) -> None:
    words = (*QUIET, *MLP, "trainer.max_epochs=20")
    child = process(*words, f"runs={tmp_path / 'stopped'}", env=holding(30, tmp_path / "holding"))
    assert child.stdout
    while "epoch 2 " not in child.stdout.readline():
        assert child.poll() is None, child.stderr and child.stderr.read()
    child.send_signal(signum)
    output, errors = child.communicate()
    assert child.returncode == 128 + signum, output + errors
    run = only_run(tmp_path / "stopped")
    assert result_of(run)["status"] == "interrupted"
    assert 10 < step_of(run / "checkpoints/last.ckpt") < 130
    if signum == signal.SIGTERM:
        assert train(f"resume={run}") == 0
        assert train(*words, f"runs={tmp_path / 'whole'}") == 0
        assert_same_run(only_run(tmp_path / "whole"), run)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["mlp-extras", "gpt"])
def test_killed_many_times_at_random_moments(case: str, tmp_path: Path) -> None:
    """Images with all that a checkpoint can hold, and a text; the other cases are resumed from each checkpoint."""
    killed_at_random((*QUIET, *CASES[case], "trainer.max_epochs=100", "checkpoint.every_n_steps=1"), tmp_path)


def killed_at_random(words: tuple[str, ...], tmp_path: Path, kills: int = 10, **kwargs: Any) -> None:
    """Train a run whole, and another in pieces, each ended by a kill: the same run.

    A checkpoint after every step, so that some kills fall inside a write; never so many steps that it could end.
    """
    child = process(*words, f"runs={tmp_path / 'whole'}", **kwargs)
    assert child.communicate()[1] == "" and child.returncode == 0
    whole = only_run(tmp_path / "whole")
    run = tmp_path / "killed" / whole.relative_to(tmp_path / "whole")
    steps = step_of(whole / "checkpoints/last.ckpt")
    seconds = result_of(whole)["run"]["training_seconds"]
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"kills drawn from seed {seed}")
    rng, most = random.Random(seed), steps // (kills + 1)
    assert most >= 5
    words, held = (*words, f"runs={tmp_path / 'killed'}"), holding(most, tmp_path / "holding")
    reached = []
    for i in range(kills):
        child = at_work(words, run, held, progress=i % 5 > 0, **kwargs)
        time.sleep(rng.uniform(0, seconds / steps * most))
        child.kill()
        output, errors = child.communicate()
        assert child.returncode == -signal.SIGKILL, output + errors
        reached.append(step_of(last) if (last := run / "checkpoints/last.ckpt").exists() else 0)
    print(f"of {steps} steps, {seconds / steps * 1000:.1f} ms each, killed after {reached}")
    assert reached == sorted(reached) and reached[-1] < steps
    assert len({*reached}) >= 0.8 * kills
    final = process(*words, **kwargs)
    output, errors = final.communicate()
    assert final.returncode == 0, output + errors
    assert_same_run(whole, run)


def test_a_validation_soon_after_a_checkpoint_writes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the last: 8 of them here, 4 of which are steps at which the command asks for one."""
    words = (*QUIET, *MLP, "trainer.max_steps=8", "trainer.val_every_n_steps=1")
    for seconds, count in ((0.0, 8), (1000.0, 4)):
        monkeypatch.setattr(checkpoints, "LEAST", seconds)
        folder = tmp_path / str(count)
        folder.mkdir()
        with snapshots_in(folder, monkeypatch) as snapshots:
            assert train(*words, f"runs={folder / 'runs'}") == 0
        assert len(snapshots) == count
    assert_same_run(only_run(tmp_path / "8/runs"), only_run(tmp_path / "4/runs"))


def test_the_same_command_twice_gives_the_same_bits(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert train(*QUIET, *RESNET, f"runs={tmp_path / name}") == 0
    assert_same_run(only_run(tmp_path / "one"), only_run(tmp_path / "two"))


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_stop_the_run(tmp_path: Path) -> None:
    """``python train.py | head -1``."""
    child = process(*QUIET, *MLP, "trainer.max_steps=8", f"runs={tmp_path}")
    assert child.stdout
    assert child.stderr
    child.stdout.readline()
    child.stdout.close()
    errors = child.stderr.read()
    assert child.wait() == 0
    assert errors == ""
    assert result_of(only_run(tmp_path))["status"] == "finished"
