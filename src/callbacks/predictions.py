"""Keeps what the model said of each test example."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from ..ranks import ranks
from ..system.files import written_whole
from ..tasks.base import joined


class Predictions(Callback):
    """The columns that the task's family keeps of each test example.

    After a test rank 0 has those of all ranks, in the order of the loader, and the others none. ``concluded``: columns
    that the task made of all examples together.
    """

    def __init__(self) -> None:
        self.parts: list[dict[str, Tensor]] = []
        self.concluded: dict[str, Tensor] = {}

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.parts, self.concluded = [], {}

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        columns = pl_module.examples(outputs)
        self.parts.append({name: value.cpu() for name, value in columns.items()})

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.parts = ranks.in_order(self.parts)
        if ranks.rank() == 0:
            self.parts = [pl_module.combined(joined(self.parts))]

    def examples(self) -> dict[str, Tensor]:
        """All columns of the last test, on the CPU."""
        (columns,) = self.parts
        return columns | self.concluded

    def write(self, path: Path) -> None:
        """predictions.npz: all columns, floats as float32, the integers of one row an example as int32."""
        arrays = {name: _small(column).numpy() for name, column in self.examples().items()}
        with written_whole(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _small(column: Tensor) -> Tensor:
    return column.float() if column.is_floating_point() else column.to(torch.int32)
