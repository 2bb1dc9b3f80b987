"""A finished classifier by whose features images are compared."""

from typing import Any

import torch
from torch import Tensor

from ..models.base import head_of
from .distillation import Teacher


class Judge(Teacher):
    """A frozen classifier of images: inputs, standardised as those of the run are -> features (N, F) and its classes.

    Features are what its last linear layer reads. Values of two judges do not compare. Raises ValueError if the network
    has no linear layer.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        _, head = head_of(self.model)
        self.read: list[Tensor] = []
        head.register_forward_pre_hook(lambda layer, inputs: self.read.append(inputs[0]))

    @torch.no_grad()
    def features(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> (N, F), (N, K) log-probabilities."""
        self.read.clear()
        log_probs = self(inputs)
        (features,) = self.read
        return features.flatten(1), log_probs
