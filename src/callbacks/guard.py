"""Stops a run whose numbers are no longer numbers."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from ..ranks import ranks
from .plan import Plan, steps_taken


class NonFiniteError(RuntimeError):
    """The loss or a weight is NaN or infinite."""


class FiniteGuard(Callback):
    """Raises NonFiniteError, naming the first step whose loss was not finite, before such a state could be saved.

    It looks at logging steps, before validation and before a checkpoint, so that no batch waits for the device.
    """

    def __init__(self, plan: Plan, loss_name: str) -> None:
        self.plan, self.loss_name = plan, loss_name

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = steps_taken(trainer, batch_idx)
        if step is not None and self.plan.due(step):
            self._look(pl_module, step)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._look(pl_module, trainer.global_step)
        for name, weight in pl_module.model.named_parameters():
            if not weight.isfinite().all():
                raise NonFiniteError(f"{name} is not finite after step {trainer.global_step} ({self.loss_name})")

    def _look(self, task: Any, step: int) -> None:
        """``step`` is that of the latest of the task's recent losses."""
        losses: list[torch.Tensor] = task.recent_losses
        if not losses:
            return
        shared = ranks.summed(torch.stack(losses))  # of all ranks, so that all of them stop here
        bad = (~shared.isfinite()).nonzero()
        if len(bad):
            first = int(bad[0])
            value = shared[first].item()
            step -= (len(losses) - 1 - first) // self.plan.accumulate
            raise NonFiniteError(
                f"the loss ({self.loss_name}) became {value} at step {step}: try a smaller optimizer.lr, warm-up"
                " (scheduler.warmup_steps) or trainer.gradient_clip_val"
            )
        losses.clear()
