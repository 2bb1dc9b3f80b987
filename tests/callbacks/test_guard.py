"""A run whose numbers stop being numbers: it fails, says where, and keeps what was good."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from src.callbacks.checkpoint import ExactCheckpoint
from src.losses.ce import CrossEntropyLoss
from tests.commands import QUIET, only_run, train

WORDS = (
    *QUIET,
    *("data.train_examples=200", "data.batch_size=20", "data.eval_batch_size=500", "model.widths=[8]"),
    *("trainer.max_steps=10", "trainer.val_every_n_steps=4"),
)
right = CrossEntropyLoss.forward


def break_loss(patch: pytest.MonkeyPatch, batch: int, broken: Callable[[Tensor], Tensor]) -> None:
    """Cross-entropy whose number ``batch`` (from 1) of those with a gradient goes through ``broken``."""
    calls = 0

    def forward(self: CrossEntropyLoss, logits: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += logits.requires_grad
        loss = right(self, logits, targets)
        return broken(loss) if logits.requires_grad and calls == batch else loss

    patch.setattr(CrossEntropyLoss, "forward", forward)


def nan(loss: Tensor) -> Tensor:
    return loss * float("nan")


def infinite(loss: Tensor) -> Tensor:
    return loss + float("inf")


def nan_gradient(loss: Tensor) -> Tensor:
    """The same value; its gradient is 0 times infinity."""
    return loss + (loss * 0).sqrt()


def checkpoint_of(run: Path) -> dict[str, dict[str, Tensor]]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def assert_failed(run: Path, *words: str) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "failed"
    for word in words:
        assert word in result["error"], result["error"]
    assert not (run / "weights.safetensors").exists()


@pytest.mark.parametrize("broken", [nan, infinite])
@pytest.mark.parametrize(
    ("extra", "batch", "step", "kept"),
    [
        ((), 6, 6, 4),  # seen before the validation of step 8
        (("trainer.log_every_n_steps=1",), 6, 6, 4),
        (("checkpoint.every_n_steps=1",), 7, 7, 6),  # seen before the checkpoint of step 7
        (("trainer.accumulate_grad_batches=2",), 11, 6, 4),
        (("trainer.accumulate_grad_batches=2", "checkpoint.every_n_steps=1"), 10, 5, 4),
        (("ema.decay=0.9", "trainer.gradient_clip_val=1"), 5, 5, 4),
        ((), 10, 10, 8),
    ],
)
def test_loss_that_is_no_number(
    broken: Callable[[Tensor], Tensor],
    extra: tuple[str, ...],
    batch: int,
    step: int,
    kept: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_loss(monkeypatch, batch, broken)
    assert train(*WORDS, *extra, f"runs={tmp_path}") == 1
    run = only_run(tmp_path)
    assert_failed(run, f"at step {step}:", "loss=ce", "nan" if broken is nan else "inf")
    assert f"at step {step}:" in capfd.readouterr().out
    checkpoint = checkpoint_of(run)
    assert checkpoint["global_step"] == kept
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step's loss is right and its gradient is not: no later loss could tell."""
    break_loss(monkeypatch, 10, nan_gradient)
    assert train(*WORDS, f"runs={tmp_path}") == 1
    run = only_run(tmp_path)
    assert_failed(run, "layers.1.weight is not finite after step 10", "loss=ce")
    assert checkpoint_of(run)["global_step"] == 8


def test_learning_rate_that_is_too_large(tmp_path: Path) -> None:
    assert train(*WORDS, "optimizer=sgd", "optimizer.lr=1e30", f"runs={tmp_path}") == 1
    assert_failed(only_run(tmp_path), "at step 2:", "optimizer.lr")


def test_failed_run_says_so_again_and_trains_on_where_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*WORDS, f"runs={tmp_path / 'failed'}")
    with monkeypatch.context() as patch:
        break_loss(patch, 6, nan)
        assert train(*words) == 1
    run = only_run(tmp_path / "failed")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    capfd.readouterr()
    assert train(*words) == 1
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    said = capfd.readouterr().out
    assert "became nan at step 6" in said and "retry_failed=true" in said and "overwrite=true" in said

    saved: list[int] = []
    save = ExactCheckpoint._save

    def save_and_count(self: ExactCheckpoint, trainer: Any) -> None:
        saved.append(trainer.global_step)
        save(self, trainer)

    monkeypatch.setattr(ExactCheckpoint, "_save", save_and_count)
    assert train(*words, "retry_failed=true") == 0
    assert saved == [8, 10], "it went on from step 4"
    assert train(*WORDS, f"runs={tmp_path / 'whole'}") == 0
    whole, again = (load_file(only_run(tmp_path / name) / "weights.safetensors") for name in ("whole", "failed"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_run_that_failed_before_its_first_checkpoint_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*WORDS, f"runs={tmp_path / 'failed'}")
    with monkeypatch.context() as patch:
        break_loss(patch, 2, nan)
        assert train(*words) == 1
    run = only_run(tmp_path / "failed")
    assert not (run / "checkpoints/last.ckpt").exists()
    assert train(*words, "retry_failed=true") == 0
    assert train(*WORDS, f"runs={tmp_path / 'whole'}") == 0
    assert (run / "metrics.csv").read_bytes() == (only_run(tmp_path / "whole") / "metrics.csv").read_bytes()
