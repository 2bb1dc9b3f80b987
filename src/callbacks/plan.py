"""The run as a number of batches, and what is due after which."""

import sys
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


@dataclass(frozen=True)
class Plan:
    """All of training is one pass of ``batches`` batches, ``accumulate`` of them an optimizer step.

    To Lightning this is one epoch, so that there is one kind of resume, in the middle of it. Epochs are counted here:
    ``epoch_steps`` optimizer steps each. Validation comes after every ``val_steps`` steps and after the last, so does
    logging after ``log_steps``, and a checkpoint after ``save_steps`` besides those of validations.
    """

    steps: int
    epoch_steps: int
    val_steps: int
    accumulate: int
    log_steps: int
    save_steps: int | None

    @classmethod
    def of(cls, trainer: dict[str, Any], epoch_steps: int, save_steps: int | None) -> "Plan":
        """The plan that the trainer's settings make of an epoch's length."""
        ends = [trainer["max_steps"], epoch_steps * trainer["max_epochs"] if trainer["max_epochs"] else None]
        steps = min(end for end in ends if end is not None)
        val_steps = trainer["val_every_n_steps"] or epoch_steps
        accumulate, log_steps = trainer["accumulate_grad_batches"], trainer["log_every_n_steps"]
        return cls(steps, epoch_steps, val_steps, accumulate, log_steps, save_steps)

    @property
    def batches(self) -> int:
        return self.steps * self.accumulate

    def epoch(self, step: int) -> int:
        """The epoch in which optimizer step number ``step`` (from 1) was taken, from 0."""
        return max(0, step - 1) // self.epoch_steps

    def validation_due(self, step: int) -> bool:
        return step % self.val_steps == 0 or step == self.steps

    def logging_due(self, step: int) -> bool:
        return step % self.log_steps == 0 or step == self.steps

    def saving_due(self, step: int) -> bool:
        """Besides the checkpoint after a validation."""
        return self.save_steps is not None and step % self.save_steps == 0

    def due(self, step: int) -> bool:
        """Whether anything but the next step is to happen after this one."""
        return self.validation_due(step) or self.logging_due(step) or self.saving_due(step)


def steps_taken(trainer: pl.Trainer, batch_idx: int) -> int | None:
    """Optimizer steps after Lightning's batch ``batch_idx``; None where gradients wait for more of them."""
    return None if (batch_idx + 1) % trainer.accumulate_grad_batches else trainer.global_step


class Validations(Callback):
    """Asks Lightning for validation where the plan has one; it counts in batches of its own, each of many steps."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = steps_taken(trainer, batch_idx)
        trainer.val_check_batch = 1 if step is not None and self.plan.validation_due(step) else sys.maxsize
        trainer.should_stop |= step == self.plan.steps
