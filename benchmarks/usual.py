"""The usual way to train on images: a plain LightningModule, every default of Lightning left as it is."""

import argparse
import tempfile
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from benchmarks import sides


class Classifier(pl.LightningModule):
    """Cross-entropy, with loss and accuracy logged at each training step and over each validation."""

    def __init__(self, model: nn.Module, configure: Callable[[nn.Module], Any], clock: Callable[[], sides.Clock]):
        super().__init__()
        self.model, self.configure, self.start = model, configure, clock
        self.train_accuracy, self.val_accuracy = (MulticlassAccuracy(10, average="micro") for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        self.train_accuracy(logits, y)
        self.log("train_loss", loss)
        self.log("train_accuracy", self.train_accuracy, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.val_accuracy(logits, y)
        self.log("val_loss", F.cross_entropy(logits, y), prog_bar=True)
        self.log("val_accuracy", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> Any:
        return self.configure(self.model)

    def on_train_start(self) -> None:
        self.clock = self.start()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.clock.step(self.global_step)


def train(given: argparse.Namespace, model: nn.Module, configure: Callable[[nn.Module], Any], *loaders: Any) -> None:
    """Fit with Lightning's default logger, progress bar, sanity check and ModelCheckpoint, and report."""
    short = given.val_every < len(loaders[0])
    task = Classifier(model, configure, lambda: sides.Clock(given))
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="gpu" if given.device == "cuda" else "cpu",
            devices=1,
            max_steps=given.steps,
            max_epochs=-1,
            default_root_dir=folder,
            limit_val_batches=given.val_batches or 1.0,
            **({"val_check_interval": given.val_every} if short else {}),
        )
        trainer.fit(task, *loaders)
        figures = task.clock.stop()
    sides.report(figures, float(trainer.callback_metrics["val_loss"]))
