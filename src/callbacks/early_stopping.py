"""Stops a run that no longer gets better."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class EarlyStopping(Callback):
    """Stops after ``patience`` validations without a lower nll (without a lower loss where there is no nll).

    Lightning's own reads ``self.log``'s means, which this project does not make.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best: float | None = None
        self.waited = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        values = pl_module.val_scores.compute()
        value = values["loss"] if values["nll"] is None else values["nll"]
        if self.best is None or value < self.best:
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.waited = state_dict["best"], state_dict["waited"]
