"""K-way classification of N examples: images, and every next character of a text."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ..losses.base import ClassificationLoss, LogitLoss
from ..metrics.columns import CLASSIFICATION, LANGUAGE, Family
from ..metrics.scores import Scores
from .stepping import Batch, Seen, Stepping, SteppingTask


class SupervisedTask(SteppingTask):
    """Feeds a model's logits to a classification loss and scores both splits by the same metrics.

    A model may answer (B, K) for images or (B, T, K) for text; every position is one example. Training targets may be
    distributions, (B, K). The mean over the examples of a batch is minimised; to be tested alone, a task needs no
    ``stepping``. Raises ValueError for a loss that is none of ``minimises``.
    """

    minimises: ClassVar[type[LogitLoss]] = ClassificationLoss

    def __init__(
        self,
        *,
        model: nn.Module,
        loss: nn.Module,
        text: bool,
        num_classes: int,
        stepping: Stepping | None = None,
    ) -> None:
        super().__init__(stepping)
        if not isinstance(loss, self.minimises):
            raise ValueError(f"{type(loss).__name__} is no {self.minimises.__name__}, which this task minimises")
        self.family: Family = LANGUAGE if text else CLASSIFICATION
        self.model = model
        self.loss: Any = loss
        self.train_scores = Scores(text=text, terms=loss.parts)
        self.val_scores, self.test_scores = (
            Scores(text=text, terms=loss.parts, num_classes=num_classes) for _ in range(2)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs -> (N, outputs): logits, one row an example."""
        return self.model(inputs).flatten(0, -2)

    def compile(self, how: bool | str) -> None:
        """Compile two graphs: network, loss and their backward pass for training, network and loss for evaluation.

        Where Lightning takes the steps, the backward pass is a graph of its own. ``how`` is false, true or
        "reduce-overhead", torch.compile's mode for CUDA graphs. Those write each batch's results where the last one's
        were, so these are copied: a turn's batches wait to be scored together.
        """
        if not how:
            return
        torch._dynamo.config.trace_autograd_ops = True  # or a graph ends before backward()
        step = "batch_loss" if self.automatic_optimization else "forward_backward"
        setattr(self, step, graph(getattr(self, step), how))
        evaluate = graph(self._judge, how)

        def any_size(batch: Batch) -> Seen:
            for tensor in batch:  # the same graph, whichever batch a process sees first
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
            return evaluate(batch)

        self._evaluate = any_size  # type: ignore[method-assign]

    def batch_loss(self, batch: Batch) -> tuple[Tensor, Seen]:
        terms, logits, targets = self._judge(batch)
        return terms["loss"].mean(), ({name: term.detach() for name, term in terms.items()}, logits.detach(), targets)

    @torch.no_grad()
    def tally(self, seen: list[Seen]) -> None:
        terms, logits, targets = zip(*seen, strict=True)
        together = {name: torch.cat([term[name] for term in terms]) for name in terms[0]}
        self._score(self.train_scores, together, torch.cat(logits), torch.cat(targets), len(seen))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._score(self.val_scores, *self._evaluate(batch))

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The batch's targets (N,) and log-probabilities (N, K), or scores (N, outputs) where there is no link."""
        return self._score(self.test_scores, *self._evaluate(batch))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """What ``test_step`` gives, unscored."""
        _, logits, targets = self._evaluate(batch)
        return self._prediction(logits, targets)

    def objective(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The terms of the loss by name, (N,) each; their sum is minimised."""
        return {"loss": self.loss(logits, targets)}

    def _judge(self, batch: Batch) -> Seen:
        """The losses of a batch by name, each and their sum; its logits and targets, a row an example."""
        inputs, targets = batch
        if not targets.is_floating_point():
            targets = targets.flatten()  # text has (B, T) classes; a distribution stays a row
        logits = self(inputs)[: len(targets)]  # none, where a rank only computes along with the others
        terms = self.objective(inputs, logits, targets)
        return {"loss": functools.reduce(torch.add, terms.values())} | terms, logits, targets

    def _evaluate(self, batch: Batch) -> Seen:
        return self._judge(batch)

    def _score(
        self, scores: Scores, terms: dict[str, Tensor], logits: Tensor, targets: Tensor, batches: int = 1
    ) -> dict[str, Tensor]:
        prediction = self._prediction(logits, targets)
        scores.update(terms, logits, prediction.get("log_probs"), targets, batches)
        return prediction

    def _prediction(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        log_probs = self.loss.log_probs(logits)
        return {"targets": targets} | ({"scores": logits} if log_probs is None else {"log_probs": log_probs})


def graph(function: Callable[[Batch], Any], how: bool | str) -> Callable[[Batch], Any]:
    """The function, compiled; with CUDA graphs what it gives is copied out of their memory."""
    if how is True:
        return torch.compile(function)
    replayed = torch.compile(function, mode=str(how))

    def call(batch: Batch) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return tree_map_only(Tensor, Tensor.clone, replayed(batch))

    return call
