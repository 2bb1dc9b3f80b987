"""A student network that learns from a trained teacher."""

from typing import Any

import torch
from torch import Tensor, nn

from ..losses.base import DistillationLoss, LogitLoss
from .supervised import SupervisedTask


class Teacher(nn.Module):
    """A frozen network and its link: inputs, standardised as the student's are, -> (N, K) log-probabilities.

    ``scale`` and ``shift`` (C, 1, 1) turn the student's standardisation of pixels into the teacher's, which was of its
    own training split; they take the type of the inputs, and are None for text. Log-probabilities are logits up to a
    shift, which no softmax sees.
    """

    def __init__(self, *, model: nn.Module, loss: LogitLoss, scale: Tensor | None, shift: Tensor | None) -> None:
        super().__init__()
        self.model, self.loss = model.eval().requires_grad_(False), loss
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.scale: Tensor | None
        self.shift: Tensor | None

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs
        if self.scale is not None and self.shift is not None:
            x = x * self.scale.to(x.dtype) + self.shift.to(x.dtype)
        log_probs = self.loss.log_probs(self.model(x).flatten(0, -2))
        assert log_probs is not None  # checked when the run was built
        return log_probs


class DistillationTask(SupervisedTask):
    """Supervised classification whose loss also hears a teacher, on the same augmented batch.

    The teacher stays in eval mode, outside of state_dict, optimizer and checkpoints. The loss's terms are logged apart.
    """

    minimises = DistillationLoss

    def __init__(self, *, teacher: Teacher, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._unregistered = [teacher]  # in a list, so that it is no sub-module

    @property
    def teacher(self) -> Teacher:
        return self._unregistered[0]

    def on_fit_start(self) -> None:
        """Whatever is done first: to the student's place and precision, which is settled only now."""
        self.teacher.to(self.device, next(self.model.parameters()).dtype)

    def on_test_start(self) -> None:
        self.on_fit_start()

    def on_predict_start(self) -> None:
        self.on_fit_start()

    def objective(self, inputs: Tensor, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return self.loss.terms(logits, self.teacher(inputs), targets)
