"""Keeps what the model said of each test example."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from ..metrics.judged import judge
from ..metrics.temperature import scaled
from ..ranks import ranks
from ..system.files import written_whole


class Predictions(Callback):
    """Per test example: targets and guess (N,); where there is a link nll, confidence, brier (N,) float64 too.

    With a ``temperature`` the last three come once more after scaling, as nll_ts, confidence_ts, brier_ts. Images keep
    their whole log_probs (N, K), or scores where there is no link; for text N x K would be large.
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
            return {"targets": targets, "guess": scores.argmax(-1)}
        of = judge(log_probs, targets)
        columns = {"targets": targets, "guess": of.guess, "nll": of.nll, "confidence": of.confidence, "brier": of.brier}
        if self.temperature is not None:
            of = judge(scaled(log_probs, self.temperature), targets)
            columns |= {"nll_ts": of.nll, "confidence_ts": of.confidence, "brier_ts": of.brier}
        return columns

    def examples(self) -> dict[str, Tensor]:
        """All columns of the last test, on the CPU."""
        return {name: torch.cat([part[name] for part in self.parts]) for name in self.parts[0]}

    def write(self, path: Path) -> None:
        """predictions.npz: floats as float32; images log_probs or scores and targets, text the columns and correct."""
        columns = self.examples()
        if self.text:
            kept = columns | {"correct": columns["guess"] == columns["targets"]}
            kept |= {name: columns[name].to(torch.int32) for name in ("targets", "guess")}
        else:
            kept = {name: columns[name] for name in ("log_probs", "scores", "targets") if name in columns}
        arrays = {name: (a.float() if a.is_floating_point() else a).numpy() for name, a in kept.items()}
        with written_whole(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
