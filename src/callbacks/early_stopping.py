"""Stops a run that no longer gets better."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class EarlyStopping(Callback):
    """Stops after ``patience`` validations without a better value of the metric that chooses among runs of the family.

    It is the first of the family's ``chooses`` that the first validation has, and stays the same to the end: of
    classifiers nll, or accuracy if the loss gives no probabilities. If there is none, the run does not stop early.
    Lightning's own reads ``self.log``'s means, which this project does not make.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.metric: str | None = None
        self.best: float | None = None
        self.waited = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        family, values = pl_module.family, pl_module.val_scores.compute()
        if self.metric is None:
            chosen = family.choice(values)
            if chosen is not None:
                self.metric, self.best = chosen[0].name, chosen[1]
            return
        value = values[self.metric]
        if family.column(self.metric).is_better(value, self.best):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"metric": self.metric, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.metric, self.best, self.waited = (state_dict[key] for key in ("metric", "best", "waited"))
