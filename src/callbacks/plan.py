"""The run as a number of batches, and what is due after which."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """All of training is one pass of ``batches`` batches, ``accumulate`` of them an optimizer step.

    To Lightning this is one epoch, so that there is one kind of resume, in the middle of it. Epochs are counted here:
    ``epoch_steps`` optimizer steps each. Validation comes after every ``val_steps`` steps and after the last.
    """

    steps: int
    epoch_steps: int
    val_steps: int
    accumulate: int

    @classmethod
    def of(cls, trainer: dict[str, int | None], batches_per_epoch: int) -> "Plan":
        """The plan that the trainer's settings make of an epoch's length."""
        accumulate = trainer["accumulate_grad_batches"] or 1
        limit = trainer["overfit_batches"] or trainer["limit_train_batches"]
        batches = min(batches_per_epoch, limit) if limit else batches_per_epoch
        epoch_steps = max(1, batches // accumulate)
        ends = [trainer["max_steps"], epoch_steps * trainer["max_epochs"] if trainer["max_epochs"] else None]
        steps = min(end for end in ends if end is not None)
        return cls(steps, epoch_steps, trainer["val_every_n_steps"] or epoch_steps, accumulate)

    @property
    def batches(self) -> int:
        return self.steps * self.accumulate

    def epoch(self, step: int) -> int:
        """The epoch in which optimizer step number ``step`` (from 1) was taken, from 0."""
        return max(0, step - 1) // self.epoch_steps

    def steps_at(self, batches: int) -> int | None:
        """Optimizer steps after so many batches, or None where accumulation is pending."""
        steps, pending = divmod(batches, self.accumulate)
        return None if pending else steps

    def validation_due(self, step: int) -> bool:
        return step % self.val_steps == 0 or step == self.steps
