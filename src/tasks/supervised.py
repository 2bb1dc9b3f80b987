"""K-way classification of N examples: images, and every next character of a text."""

import functools
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import EvalLoader
from ..figures.pictures import pictures
from ..losses.base import ClassificationLoss, LogitLoss
from ..metrics.families import CLASSIFICATION, LANGUAGE
from ..metrics.judged import judge, rightness
from ..metrics.scores import Scores
from ..metrics.temperature import NotFittedError, fit_temperature, scaled
from ..plain import Plain
from .base import Task, joined
from .calibration import concluded
from .stepping import Named, Seen


class SupervisedTask(Task):
    """Feeds a model's logits to a classification loss and scores both splits by the same metrics.

    A model may answer (B, K) for images or (B, T, K) for text; every position is one example. Training targets may be
    distributions, (B, K). ``adjusted`` is the temperature that suits the validation split by ``criterion``, None if the
    loss gives no probabilities and if none could be fitted.
    """

    minimises: ClassVar[type[LogitLoss]] = ClassificationLoss
    takes = ("class", "distribution")
    adjusts = True

    def __init__(self, *, criterion: Literal["nll", "ece_grid"] = "nll", **parts: Any) -> None:
        super().__init__(**parts)
        self.criterion = criterion
        self.family = LANGUAGE if self.text else CLASSIFICATION

    @property
    def text(self) -> bool:
        return self.spec.kind == "text"

    def measure(self, *, whole: bool) -> Scores:
        return Scores(text=self.text, terms=self.loss.parts, num_classes=self.spec.num_classes if whole else None)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs -> (N, outputs): logits, one row an example."""
        return self.model(inputs).flatten(0, -2)

    def objective(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> Named:
        """The terms of the loss by name, (N,) each; their sum is minimised."""
        return {"loss": self.loss(logits, targets)}

    def judge(self, given: Named) -> Seen:
        inputs, targets = given["inputs"], given["targets"]
        if not targets.is_floating_point():
            targets = targets.flatten()  # text has (B, T) classes; a distribution stays a row
        logits = self(inputs)[: len(targets)]  # none, where a rank only computes along with the others
        terms = self.objective(inputs, logits, targets)
        whole = {"loss": functools.reduce(torch.add, terms.values())}
        return whole | terms, {"logits": logits, "targets": targets}

    def score(self, measure: Any, terms: Named, answer: Named, batches: int = 1) -> None:
        logits, targets = answer["logits"], answer["targets"]
        measure.update(terms, logits, self.loss.log_probs(logits), targets, batches)

    def examples(self, answer: Named) -> Named:
        """Targets, guess, and a column for each metric that is a mean over examples, all (N,).

        accuracy is 0 or 1. If the loss has a link, there are nll, brier, confidence and overconfidence; with a
        temperature nll_ts, brier_ts and confidence_ts too. Images keep their log_probs (N, K), or scores if there is no
        link; for text N x K would be large.
        """
        logits, targets = answer["logits"], answer["targets"]
        log_probs = self.loss.log_probs(logits)
        if log_probs is None:
            guess = logits.argmax(-1)
            kept = {} if self.text else {"scores": logits}
            return {"targets": targets, "guess": guess, "accuracy": rightness(guess, targets)} | kept
        of = judge(log_probs, targets)
        columns = {"targets": targets, "guess": of.guess, "accuracy": of.right, "nll": of.nll, "brier": of.brier}
        columns |= {"confidence": of.confidence, "overconfidence": of.confidence - of.right}
        if self.adjusted is not None:
            of = judge(scaled(log_probs, self.adjusted), targets)
            columns |= {"nll_ts": of.nll, "confidence_ts": of.confidence, "brier_ts": of.brier}
        return columns | ({} if self.text else {"log_probs": log_probs})

    def adjust(self, answers: Iterator[Named]) -> list[str]:
        whole = joined(list(answers))
        log_probs = self.loss.log_probs(whole["logits"])
        if log_probs is None:
            return []
        try:
            self.adjusted = fit_temperature(log_probs, whole["targets"], self.criterion)
        except NotFittedError as error:
            return [f"no temperature was fitted: {error}; nll_ts, ece_ts and brier_ts are left out"]
        return []

    def adjustment(self) -> str:
        return "" if self.adjusted is None else f"temperature {self.adjusted:.4g}"

    def conclude(self, examples: Named) -> Plain:
        return concluded(examples, self.adjusted, self.spec)

    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        return pictures(title, result, examples, loader, self.spec)
