"""A residual network of nine layers that learns CIFAR-10 in a few epochs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import Network

LOGIT_SCALE = 0.125
SMALLEST = 8  # pixels a side: three poolings leave one


def convolution(inputs: int, outputs: int, pool: bool = False) -> nn.Sequential:
    """(B, inputs, H, W) -> (B, outputs, H, W), or half the size: relu(bn(pool(conv(x)))), 3x3 convolution, 2x2 maximum.

    Pooled before the norm and not behind relu, three quarters of the elementwise work go.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """x -> x + convolution(convolution(x)), without an activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(convolution(channels, channels), convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)  # (B, channels, H, W), as it came


class ResNet9(Network):
    """(B, C, H, W) -> (B, outputs), H and W >= 8: convolutions of 64, 128, 256 and 512 channels, the last three pooled.

    A residual block follows the second and the fourth; then the maximum over all pixels, a linear layer without bias,
    and a factor 1/8 on the logits. 6.57 million parameters for CIFAR-10. Weights as torch initialises them, U(-a, a)
    with a = 1 / sqrt(fan_in), as published.
    Source: Page 2018, How to Train Your ResNet (myrtle.ai), part 4, with the pooling of part 8; code:
    github.com/davidcpage/cifar10-fast. Jordan's smaller network (arXiv:2404.00498) is faster still, but its first layer
    is computed from training images.
    """

    inputs = "image"
    gives = "logits or features"

    def __init__(self, *, input_shape: Sequence[int], outputs: int) -> None:
        super().__init__()
        channels, height, width = input_shape
        if min(height, width) < SMALLEST:
            raise ValueError(f"images must be at least {SMALLEST} x {SMALLEST} pixels, got {height} x {width}")
        self.body = nn.Sequential(
            convolution(channels, 64),
            convolution(64, 128, pool=True),
            Residual(128),
            convolution(128, 256, pool=True),
            convolution(256, 512, pool=True),
            Residual(512),
        )
        self.head, self.scale = nn.Linear(512, outputs, bias=False), LOGIT_SCALE
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as the residual networks of resnet.py

    def cosine_head(self) -> None:
        super().cosine_head()
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x.contiguous(memory_format=torch.channels_last))  # (B, 512, H/8, W/8)
        return self.head(x.amax((2, 3))) * self.scale  # (B, outputs)
