"""A small U-Net that is told the time."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer
from .base import DenoisingNetwork, widths_of

GROUPS = 8  # of channels that are normed together, at most
LONGEST = 1000  # time 1 is the 1000th step of Ho et al. 2020, whose embedding this is


class UNet(DenoisingNetwork):
    """(B, C, H, W), (B,) -> (B, C, H, W): an encoder, a decoder, and what they see at each of several resolutions.

    A position of the first resolution is a square of ``patch`` x ``patch`` pixels; each further one has half as many
    positions a side. ``widths`` are their channels. A block is two 3x3 convolutions, each after GroupNorm and SiLU,
    with the embedded time added in between. In the middle, positions attend to each other. The last convolution and
    each block's second one start at 0, so an untrained network gives 0. Raises ValueError if the sides do not divide.
    Sources: Ronneberger et al. 2015, arXiv:1505.04597; Ho et al. 2020, arXiv:2006.11239, appendix B.
    """

    inputs = "image"

    def __init__(self, *, input_shape: Sequence[int], patch: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.patch, sizes = integer("patch", patch, low=1), widths_of(widths)
        if not sizes:
            raise ValueError("widths must be a list of integers >= 1, at least one, got []")
        channels, *sides = input_shape
        whole = self.patch * 2 ** (len(sizes) - 1)
        if any(side % whole for side in sides):
            raise ValueError(
                f"widths must be such that {whole} pixels (patch {patch}, halved {len(sizes) - 1} times) divide the"
                f" sides of the images, {' x '.join(map(str, sides))}, got {sizes}"
            )
        time, pixels = 4 * sizes[0], channels * self.patch**2
        self.wave = 2 * ((sizes[0] + 1) // 2)  # an even number
        self.time = nn.Sequential(nn.Linear(self.wave, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.first = nn.Conv2d(pixels, sizes[0], 3, padding=1)
        self.down = nn.ModuleList(Block(size, size, time) for size in sizes[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(sizes))
        last = sizes[-1]
        self.middle = nn.ModuleList([Block(last, last, time), Attention(last), Block(last, last, time)])
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(Block(2 * size, size, time) for size in sizes[:-1])
        self.last = nn.Sequential(norm(sizes[0]), nn.SiLU(), silent(nn.Conv2d(sizes[0], pixels, 3, padding=1)))

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        t = self.time(embedded(time, self.wave).to(self.first.weight.dtype))  # (B, 4 width)
        x = self.first(F.pixel_unshuffle(inputs, self.patch))  # (B, C patch^2, H / patch, W / patch) -> (B, width, ...)
        seen = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            x = block(x, t)
            seen.append(x)
            x = shrink(x)
        first, attention, second = self.middle
        x = second(attention(first(x, t)), t)
        for block, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            x = grow(F.interpolate(x, scale_factor=2.0))
            x = block(torch.cat([x, seen.pop()], 1), t)
        return F.pixel_shuffle(self.last(x), self.patch)


class Block(nn.Module):
    """(B, in, H, W), (B, T) -> (B, out, H, W): a residual block."""

    def __init__(self, width: int, out: int, time: int) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))
        self.time = nn.Linear(time, out)
        self.second = nn.Sequential(norm(out), nn.SiLU(), silent(nn.Conv2d(out, out, 3, padding=1)))
        self.past = nn.Identity() if width == out else nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.past(x) + self.second(self.first(x) + self.time(t)[..., None, None])


class Attention(nn.Module):
    """(B, width, H, W) -> the same: each position reads of all, by one head, and adds what it read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.read = norm(width), nn.Conv2d(width, 3 * width, 1)
        self.written = silent(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.read(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)  # (B, H W, width) each
        read = F.scaled_dot_product_attention(q, k, v)  # (B, H W, width)
        return x + self.written(read.transpose(1, 2).reshape(x.shape))


def embedded(time: Tensor, size: int) -> Tensor:
    """(B,) -> (B, size) float32: sines and cosines of 1000 time at wavelengths from 2 pi to 10,000 times that.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """
    half = size // 2
    speeds = torch.exp(torch.arange(half, device=time.device, dtype=torch.float32) * (-math.log(10_000) / half))
    angle = LONGEST * time.float()[:, None] * speeds
    return torch.cat([angle.sin(), angle.cos()], 1)


def norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(GROUPS, width), width)


def silent(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, its weights 0: it says nothing until it learnt to."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
