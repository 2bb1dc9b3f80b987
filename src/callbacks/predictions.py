"""Keeps what the model said of each test example."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from ..metrics.judged import judge, rightness
from ..metrics.temperature import scaled
from ..ranks import ranks
from ..system.files import written_whole


class Predictions(Callback):
    """Per test example: targets, guess, and a float64 column for each metric that is a mean over examples, all (N,).

    accuracy is 0 or 1. If the loss has a link, there are nll, brier, confidence and overconfidence; with a
    ``temperature`` nll_ts, brier_ts and confidence_ts too. Images keep their whole log_probs (N, K), or scores if there
    is no link; for text N x K would be large.
    After a test rank 0 has those of all ranks, in the order of the loader, and the others none.
    """

    def __init__(self, text: bool) -> None:
        self.text = text
        self.temperature: float | None = None
        self.parts: list[dict[str, Tensor]] = []

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.parts = []

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        columns = self._columns(**outputs) | ({} if self.text else outputs)
        self.parts.append({name: value.cpu() for name, value in columns.items()})

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.parts = ranks.in_order(self.parts)

    def _columns(self, targets: Tensor, log_probs: Tensor | None = None, scores: Tensor | None = None) -> Any:
        if log_probs is None:
            assert scores is not None
            guess = scores.argmax(-1)
            return {"targets": targets, "guess": guess, "accuracy": rightness(guess, targets)}
        of = judge(log_probs, targets)
        columns = {"targets": targets, "guess": of.guess, "accuracy": of.right, "nll": of.nll, "brier": of.brier}
        columns |= {"confidence": of.confidence, "overconfidence": of.confidence - of.right}
        if self.temperature is not None:
            of = judge(scaled(log_probs, self.temperature), targets)
            columns |= {"nll_ts": of.nll, "confidence_ts": of.confidence, "brier_ts": of.brier}
        return columns

    def examples(self) -> dict[str, Tensor]:
        """All columns of the last test, on the CPU."""
        return {name: torch.cat([part[name] for part in self.parts]) for name in self.parts[0]}

    def write(self, path: Path) -> None:
        """predictions.npz: all columns, floats as float32; the many classes of text as int32."""
        columns = self.examples()
        if self.text:
            columns |= {name: columns[name].to(torch.int32) for name in ("targets", "guess")}
        arrays = {name: (a.float() if a.is_floating_point() else a).numpy() for name, a in columns.items()}
        with written_whole(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
