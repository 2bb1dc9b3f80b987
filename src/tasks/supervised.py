"""K-way classification of N examples: images, and every next character of a text."""

import functools
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from src.losses.base import ClassificationLoss, LogitLoss
from src.metrics.scores import Scores
from src.tasks.schedules import Schedule

Batch = tuple[Tensor, Tensor]


class SupervisedTask(pl.LightningModule):
    """Feeds a model's logits to a classification loss and scores both splits by the same metrics.

    A model may answer (B, K) for images or (B, T, K) for text; every position is one example. Training targets may be
    distributions, (B, K). The mean over the examples of a batch is minimised. Raises ValueError for a loss of another
    family.
    """

    family: ClassVar[type[LogitLoss]] = ClassificationLoss

    def __init__(
        self, *, model: nn.Module, loss: nn.Module, optimizer: Optimizer, schedule: Schedule, text: bool
    ) -> None:
        super().__init__()
        if not isinstance(loss, self.family):
            raise ValueError(f"{type(loss).__name__} is no {self.family.__name__}, which this task minimises")
        self.model = model
        self.loss: Any = loss
        self.optimizer, self.schedule = optimizer, schedule
        self.train_scores, self.val_scores, self.test_scores = (Scores(text=text, terms=loss.parts) for _ in range(3))
        self.recent_losses: list[Tensor] = []  # of each batch since the guard last looked

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs -> (N, outputs): logits, one row an example."""
        return self.model(inputs).flatten(0, -2)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses, _ = self._score(self.train_scores, batch)
        loss = losses.mean()
        self.recent_losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._score(self.val_scores, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The batch's targets (N,) and log-probabilities (N, K), or scores (N, outputs) where there is no link."""
        _, prediction = self._score(self.test_scores, batch)
        return prediction

    def objective(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, (N,) each; their sum is minimised."""
        return {"loss": self.loss(logits, targets)}

    def _score(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        inputs, targets = batch
        if not targets.is_floating_point():
            targets = targets.flatten()  # text has (B, T) classes; a distribution stays a row
        logits = self(inputs)
        terms = self.objective(inputs, logits, targets)
        losses = functools.reduce(torch.add, terms.values())
        with torch.no_grad():
            log_probs = self.loss.log_probs(logits.detach())
            scores.update({"loss": losses} | terms, logits, log_probs, targets)
        prediction = {"scores": logits.detach()} if log_probs is None else {"log_probs": log_probs}
        return losses, prediction | {"targets": targets}

    def configure_optimizers(self) -> Any:
        scheduler = LambdaLR(self.optimizer, self.schedule)
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters in two groups: matrices and convolutions decay; biases, norms and other vectors do not.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101; the split is that of nanoGPT and timm.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
