"""Residual networks for small images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer
from .base import Network

# depth -> (channels of the stages, blocks a stage, shortcuts have weights)
DEPTHS = {
    8: ((16, 32, 64), 1, False),
    20: ((16, 32, 64), 3, False),
    32: ((16, 32, 64), 5, False),
    56: ((16, 32, 64), 9, False),
    18: ((64, 128, 256, 512), 2, True),
}


class BasicBlock(nn.Module):
    """x -> relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))), with 3x3 convolutions.

    Where sizes change, the shortcut is option A of the paper (every second pixel, new channels zero) or, with
    ``projection``, option B (1x1 convolution and BatchNorm).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.new_channels = stride, outputs - inputs
        self.project: nn.Module | None = None
        if projection and (stride > 1 or self.new_channels):
            self.project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))  # (B, outputs, H/stride, W/stride)
        y = self.bn2(self.conv2(y))  # the same
        return F.relu(y + self._shortcut(x))  # the same

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.project is not None:
            return self.project(x)
        if self.stride > 1 or self.new_channels:
            pixels = x[:, :, :: self.stride, :: self.stride]  # (B, inputs, H/stride, W/stride)
            return F.pad(pixels, (0, 0, 0, 0, 0, self.new_channels))  # (B, outputs, H/stride, W/stride)
        return x  # (B, outputs, H, W): nothing changes size


class ResNet(Network):
    """(B, C, H, W) -> (B, outputs). Depths 8, 20, 32 and 56: the CIFAR family with 6n + 2 layers; 18: ResNet-18.

    Both start with a 3x3 convolution at full size (ResNet-18's 7x7 with pooling is for images of 224 pixels).
    Convolutions from N(0, 2 / (9 outputs)) (He et al. 2015, arXiv:1502.01852, fan-out).
    Source: He et al. 2016, arXiv:1512.03385, sections 3.3 and 4.2.
    """

    inputs = "image"
    gives = "logits or features"

    def __init__(self, *, input_shape: Sequence[int], outputs: int, depth: int) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f"depth must be one of {', '.join(map(str, sorted(DEPTHS)))}, got {depth!r}")
        channels, blocks, projection = DEPTHS[integer("depth", depth)]
        self.stem = nn.Conv2d(input_shape[0], channels[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels[0])
        body: list[nn.Module] = []
        width = channels[0]
        for stage, stage_width in enumerate(channels):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                body.append(BasicBlock(width, stage_width, stride, projection))
                width = stage_width
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions on a CPU, and what a GPU's half ones want

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.bn(self.stem(x)))  # (B, first channels, H, W)
        x = self.body(x)  # (B, last channels, H/s, W/s), s = 2^(stages - 1)
        return self.head(x.mean((2, 3)))  # (B, outputs)
