"""The table of a network's layers."""

from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from src.runs.fit import summary


class Network(pl.LightningModule):
    """A network with dropout; its frozen part is in evaluation mode, as a user may want it."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.layers, self.frozen = nn.Sequential(nn.Linear(3, 2), nn.Dropout()), nn.BatchNorm1d(2).eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.fault:
            raise RuntimeError(self.fault)
        return self.frozen(self.layers(x))


@pytest.mark.parametrize(
    ("fault", "told"), [("", "Linear"), ("no such input", "no summary: RuntimeError: no such input")]
)
def test_a_summary_leaves_training_as_it_was(fault: str, told: str) -> None:
    """Also that of a network which cannot be summed up: dropout must not be off in all of training."""
    network = Network(fault)
    data: Any = SimpleNamespace(eval_batch=lambda split, index: (torch.zeros(4, 3), torch.zeros(4)))
    assert told in summary(network, data)  # type: ignore[arg-type]
    assert network.layers.training and network.layers[1].training and not network.frozen.training
    assert network.example_input_array is None
