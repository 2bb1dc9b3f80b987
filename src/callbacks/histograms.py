"""How numbers of validation examples are spread, as they change while a network learns."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from .events import EventFiles


class Histograms(Callback):
    """TensorBoard's histograms of what a task watches: after each validation, of rank 0's batches, without what is not
    finite.

    Where no TensorBoard is written, this does nothing.
    """

    def __init__(self, watched: tuple[str, ...]) -> None:
        self.parts: dict[str, list[Tensor]] = {name: [] for name in watched}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.parts = {name: [] for name in self.parts}

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        for name, parts in self.parts.items():
            parts.append(outputs[name].detach().flatten())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        boards = [logger for logger in trainer.loggers if isinstance(logger, EventFiles)]
        for name, parts in self.parts.items() if boards else ():
            values = torch.cat(parts).double().cpu().numpy()
            for board in boards:
                board.histogram(name, values[np.isfinite(values)], trainer.global_step)
