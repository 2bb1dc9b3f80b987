"""Checkpoints from which a run goes on bit for bit, and the stops that leave one behind."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint

from src.callbacks.plan import Plan
from src.runs.files import written_whole


class AtomicCheckpointIO(TorchCheckpointIO):
    """A checkpoint is there whole or not at all, whenever the process dies."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with written_whole(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return torch.load(path, map_location="cpu", weights_only=True)


class Interrupted(BaseException):
    """A signal stopped the run at a point from which it can go on. ``signum`` is the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class RandomState(Callback):
    """Carries the random states of Python, NumPy and torch (CPU and every CUDA device) in the checkpoint."""

    def __init__(self) -> None:
        self.loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        kind, keys, position, has_gauss, gauss = np.random.get_state()
        version, internal, gauss_next = random.getstate()
        return {
            "python": [version, list(internal), gauss_next],
            "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Only now: building the trainer and the model may have drawn numbers after the checkpoint was read."""
        if self.loaded is None:
            return
        version, internal, gauss_next = self.loaded["python"]
        random.setstate((version, tuple(internal), gauss_next))
        kind, keys, position, has_gauss, gauss = self.loaded["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
        torch.set_rng_state(self.loaded["torch"])
        if self.loaded["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(self.loaded["cuda"])
        self.loaded = None


class ExactCheckpoint(Checkpoint):
    """Writes last.ckpt after every validation and every ``every_n_steps`` steps, and on a signal.

    It saves where nothing is pending: after a batch that ended an optimizer step, or, where that batch is followed by
    validation, after the validation. Lightning calls Checkpoint callbacks last, so all others have done their part.
    ``best.ckpt`` is the one with the highest validation accuracy, if ``keep_best``.
    """

    def __init__(self, folder: Path, plan: Plan, every_n_steps: int | None, keep_best: bool) -> None:
        self.folder, self.plan, self.every_n_steps, self.keep_best = folder, plan, every_n_steps, keep_best
        self.saved_at = 0
        self.best: float | None = None
        self.finished = False
        self.signum: int | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = self.plan.steps_at(batch_idx + 1)
        if step is None or self.plan.validation_due(step):
            return
        due = self.every_n_steps is not None and step - self.saved_at >= self.every_n_steps
        if due or self.signum:
            self._save(trainer, step)
        self._stop_if_asked()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        step = trainer.global_step
        self.finished = step == self.plan.steps or trainer.should_stop
        accuracy = pl_module.val_scores.compute()["accuracy"]
        better = self.keep_best and (self.best is None or accuracy > self.best)
        self.best = accuracy if better else self.best
        if better:  # before last.ckpt, which remembers this accuracy: a crash in between writes it once more
            trainer.save_checkpoint(self.folder / "best.ckpt")
        self._save(trainer, step)
        if not self.finished:
            self._stop_if_asked()

    def _save(self, trainer: pl.Trainer, step: int) -> None:
        self.saved_at = step
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def _stop_if_asked(self) -> None:
        if self.signum:
            raise Interrupted(self.signum)

    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._stop_if_asked()

    def state_dict(self) -> dict[str, Any]:
        return {"saved_at": self.saved_at, "best": self.best, "finished": self.finished}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved_at, self.best = state_dict["saved_at"], state_dict["best"]

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask for a checkpoint and a stop; a second one stops at once."""

        def ask(signum: int, frame: FrameType | None) -> None:
            if self.signum:
                os._exit(128 + signum)
            self.signum = signum

        before = {signum: signal.signal(signum, ask) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
