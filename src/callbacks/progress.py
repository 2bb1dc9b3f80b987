"""Says how far a run is: a bar in a terminal, a line every few seconds in a log."""

import logging
import math
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from tqdm import tqdm

from ..metrics.columns import Family
from .plan import Plan
from .recorder import Recorder

log = logging.getLogger("xent")
OBJECTIVE = "train/loss"  # what is minimised, in every family


def in_a_line(latest: dict[str, float | None], family: Family) -> dict[str, str]:
    """The few values that a line has room for: the objective, and on validation those that the family shows.

    val/loss takes the place of what should choose among runs, if the run has no such value.
    """
    tags = [f"val/{name}" for name in family.shown]
    first = f"val/{family.chooses[0]}"
    if latest.get(first) is None:
        tags = ["val/loss" if tag == first else tag for tag in tags]
    return {tag: f"{value:.4f}" for tag in (OBJECTIVE, *tags) if (value := latest.get(tag)) is not None}


class ProgressLines(Callback):
    """One line at each validation, and one when ``seconds`` have passed without."""

    def __init__(self, plan: Plan, recorder: Recorder, seconds: float = 5.0) -> None:
        self.plan, self.recorder, self.seconds = plan, recorder, seconds
        self.last = self.start = time.monotonic()
        self.first_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.last = self.start = time.monotonic()
        self.first_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if time.monotonic() - self.last >= self.seconds and not self.plan.validation_due(step):  # that has its own line
            self._line(step, pl_module.family)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._line(trainer.global_step, pl_module.family)

    def _line(self, step: int, family: Family) -> None:
        now = time.monotonic()
        values = "  ".join(f"{tag} {value}" for tag, value in in_a_line(self.recorder.latest, family).items())
        log.info(
            "epoch %d  step %d/%d  %s%s",
            self.plan.epoch(step) + 1,
            step,
            self.plan.steps,
            values,
            self._pace(step, now),
        )
        self.last = now

    def _pace(self, step: int, now: float) -> str:
        rate = (step - self.first_step) / max(now - self.start, 1e-9)
        left = (self.plan.steps - step) / rate if rate else 0.0
        return f"  {rate:.1f} steps/s  {left:.0f} s left"


class ProgressBar(ProgressLines):
    """One bar over all optimizer steps (Lightning's counts its own epochs, of which a run has one).

    The line of each validation stays above it.
    """

    def __init__(self, plan: Plan, recorder: Recorder) -> None:
        super().__init__(plan, recorder, seconds=math.inf)

    def _pace(self, step: int, now: float) -> str:
        return ""  # the bar has it; 80 columns have no room for it

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        step = trainer.global_step
        self.bar = tqdm(total=self.plan.steps, initial=step, dynamic_ncols=True, unit="step", leave=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if self.bar.update(step - self.bar.n):  # it redraws ten times a second at most
            self.bar.set_description(f"epoch {self.plan.epoch(step) + 1}", refresh=False)
            loss = self.recorder.latest.get(OBJECTIVE)
            self.bar.set_postfix({} if loss is None else {OBJECTIVE: f"{loss:.4f}"}, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
