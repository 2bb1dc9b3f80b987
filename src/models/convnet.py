"""A small network of convolutions, for images on a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import Network, widths_of


class ConvNet(Network):
    """(B, C, H, W) -> (B, outputs): for each of ``widths`` a 3x3 convolution of stride 2 to so many channels, BatchNorm
    and ReLU; then the mean over all pixels, and a linear layer.

    Convolutions from N(0, 2 / (9 outputs)), as in resnet.py.
    """

    inputs = "image"
    gives = "logits or features"

    def __init__(self, *, input_shape: Sequence[int], outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        before = input_shape[0]
        layers: list[nn.Module] = []
        for after in widths_of(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as the residual networks of resnet.py

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x.contiguous(memory_format=torch.channels_last))  # (B, last channels, H / 2^n, W / 2^n)
        return self.head(x.mean((2, 3)))  # (B, outputs)
