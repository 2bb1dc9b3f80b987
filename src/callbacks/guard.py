"""Stops a run whose numbers are no longer numbers."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from src.callbacks.plan import Plan


class NonFiniteError(RuntimeError):
    """The loss or a weight is NaN or infinite."""


class FiniteGuard(Callback):
    """Raises NonFiniteError, naming the first step whose loss was not finite, before such a state could be saved.

    It looks at logging steps, before validation and before a checkpoint, so that no batch waits for the device.
    """

    def __init__(self, plan: Plan, loss_name: str, every_n_steps: int) -> None:
        self.plan, self.loss_name, self.every_n_steps = plan, loss_name, every_n_steps

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = self.plan.steps_at(batch_idx + 1)
        if step is not None and (step % self.every_n_steps == 0 or self.plan.validation_due(step)):
            self._look(pl_module, batch_idx)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._look(pl_module, trainer.fit_loop.epoch_loop.batch_idx)
        for name, weight in pl_module.model.named_parameters():
            if not weight.isfinite().all():
                raise NonFiniteError(f"{name} is not finite after step {trainer.global_step} ({self.loss_name})")

    def _look(self, task: Any, batch_idx: int) -> None:
        """``batch_idx`` is that of the latest of the task's recent losses."""
        losses: list[torch.Tensor] = task.recent_losses
        if not losses:
            return
        bad = (~torch.stack(losses).isfinite()).nonzero()
        if len(bad):
            batch = batch_idx - len(losses) + 1 + int(bad[0])
            value = losses[int(bad[0])].item()
            step = batch // self.plan.accumulate + 1
            raise NonFiniteError(
                f"the loss ({self.loss_name}) became {value} at step {step}: try a smaller optimizer.lr, warm-up"
                " (scheduler.warmup_steps) or trainer.gradient_clip_val"
            )
        losses.clear()
