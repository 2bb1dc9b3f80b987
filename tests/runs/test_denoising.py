"""Whole runs of diffusion models: exact when stopped, when tested again, and however a step is cut."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluate
from src.config.guard import guarded
from tests.commands import QUIET, only_run, result_of, train
from tests.runs.test_ddp import assert_trains_as_one
from tests.runs.test_exactness import assert_same_run, killed_at_random, resume_from_every_checkpoint, two_or_all

SMALL = (
    *("model=unet", "model.widths=[8]", "model.patch=4", "loss=denoising", "data=mnist_5k", "data.train_examples=320"),
    *("data.eval_batch_size=250", "data.batch_size=32", "trainer.max_steps=24", "trainer.log_every_n_steps=3"),
    *("trainer.val_every_n_steps=8", "task.steps=20", "task.val_steps=2", "task.test_steps=5", "task.sampling_steps=4"),
)
NOISE = (*SMALL, "ema.decay=0.9", "data.pad=1")
V = (*SMALL, "loss.predict=v", "loss.weight=min_snr", "loss.distance=huber")


BOTH = pytest.mark.parametrize("words", [NOISE, pytest.param(V, marks=pytest.mark.slow)], ids=["noise", "v"])


@two_or_all
@BOTH
def test_resumed_from_checkpoints(
    words: tuple[str, ...], every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*QUIET, *words, "checkpoint.every_n_steps=5")
    resume_from_every_checkpoint(words, tmp_path, monkeypatch, every)
    whole = only_run(tmp_path / "whole")
    assert train(*words, f"runs={tmp_path / 'twice'}") == 0
    assert_same_run(whole, only_run(tmp_path / "twice"))
    tested = result_of(whole)["metrics"]["test"]
    with np.load(whole / "predictions.npz") as kept:
        for name in ("bits_per_dim", "diffusion_bits", "reconstruction_bits", "prior_bits", "noise_mse"):
            assert kept[name].shape == (1000,)
            assert kept[name].astype(np.float64).mean() == pytest.approx(tested[name], rel=1e-6)


def test_tested_again_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit; what it cannot answer is refused."""
    assert train(*QUIET, *NOISE, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)

    def said(*words: str) -> tuple[int, list[Path]]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", str(run), *words])
        return guarded(evaluate.main), sorted((run / "evaluations").glob("*.json"))

    status, (path,) = said()
    report = json.loads(path.read_text())
    assert status == 0 and report["same_as_result"] is True
    assert report["times"] == result_of(run)["times"]
    for word in ("predict=.", "export=torch"):
        status, found = said(word)
        assert (status, found) == (2, [path]), word


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    words = (*QUIET, *NOISE, "trainer.max_steps=60", "checkpoint.every_n_steps=1")
    killed_at_random(words, tmp_path, kills=4)


@pytest.mark.slow
@pytest.mark.parametrize("words", [NOISE, V], ids=["noise", "v"])
def test_two_ranks_and_accumulated_batches_train_as_one(words: tuple[str, ...], tmp_path: Path) -> None:
    cut = ("data.batch_size=8", "trainer.accumulate_grad_batches=4")
    assert_trains_as_one(words, cut, tmp_path)


@pytest.mark.slow
def test_a_run_in_bfloat16_is_close(tmp_path: Path) -> None:
    runs = []
    for name in ("32-true", "bf16-mixed"):
        assert train(*QUIET, *V, f"trainer.precision={name}", f"runs={tmp_path / name}") == 0
        runs.append(result_of(only_run(tmp_path / name))["metrics"]["test"])
    assert runs[1] == pytest.approx(runs[0], rel=0.05, abs=1e-6)
