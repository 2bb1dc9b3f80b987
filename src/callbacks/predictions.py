"""Keeps what the model said of each test example."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from src.runs.files import written_whole


class Predictions(Callback):
    """Writes predictions.npz: log_probs (N, K) float32, or scores where there is no link, and targets (N,).

    For text, where N x K would be large: nll, confidence (N,) float32 and correct (N,) bool instead of log_probs.
    """

    def __init__(self, folder: Path, text: bool) -> None:
        self.path, self.text = folder / "predictions.npz", text
        self.parts: list[dict[str, torch.Tensor]] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.parts = []

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        part = self._per_token(outputs) if self.text else outputs
        self.parts.append({name: value.cpu() for name, value in part.items()})

    @staticmethod
    def _per_token(outputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        targets = outputs["targets"]
        table = outputs.get("log_probs", outputs.get("scores"))
        assert table is not None
        top, guess = table.max(-1)
        part = {"targets": targets.to(torch.int32), "correct": guess == targets}
        if "log_probs" in outputs:
            part |= {"nll": -table.gather(-1, targets[:, None])[:, 0], "confidence": top.exp()}
        return part

    def class_accuracy(self, num_classes: int) -> list[float | None]:
        """Share of each class's test examples that are right; None for a class without examples."""
        targets, correct = [], []
        for part in self.parts:
            table = part.get("log_probs", part.get("scores"))
            correct.append(part["correct"] if table is None else table.argmax(-1) == part["targets"])
            targets.append(part["targets"].long())
        y, right = torch.cat(targets), torch.cat(correct)
        seen = torch.bincount(y, minlength=num_classes).tolist()
        hits = torch.bincount(y[right], minlength=num_classes).tolist()
        return [hit / n if n else None for hit, n in zip(hits, seen, strict=True)]

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero and self.parts:
            arrays = {name: torch.cat([part[name] for part in self.parts]) for name in self.parts[0]}
            floats = {name: a.float() if a.is_floating_point() else a for name, a in arrays.items()}
            with written_whole(self.path) as file:
                np.savez_compressed(file, **{name: a.numpy() for name, a in floats.items()})  # type: ignore[arg-type]
