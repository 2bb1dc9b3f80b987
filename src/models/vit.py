"""A small vision transformer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer, number
from .base import Network, linear_weights
from .transformer import Block, glorot


class ViT(Network):
    """(B, C, H, W) -> (B, outputs): patches as tokens, pre-norm transformer, mean over tokens, linear head.

    patch: pixels a side of a patch; it must divide height and width. There is no class token.
    Linear layers by Glorot's uniform rule, query, key and value each on its own; learned positions and the head from
    N(0, 0.02) (the paper's head is zero: no other weight would have a first gradient); biases 0.
    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, section 3.1; the mean over tokens of Beyer et al. 2022,
    arXiv:2205.01580, without their fixed sines as positions.
    """

    inputs = "image"
    gives = "logits or features"

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        outputs: int,
        patch: int,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        channels, height, columns = input_shape
        self.patch = integer("patch", patch, low=1)
        if height % patch or columns % patch:
            raise ValueError(f"patch must divide the images' height and width, {height} x {columns}, got {patch}")
        heads = integer("heads", heads, low=1)
        if integer("width", width, low=1) % heads:
            raise ValueError(f"width must be a multiple of heads={heads}, got {width}")
        self.dropout = number("dropout", dropout, low=0, high=0.99)
        self.embed = nn.Linear(channels * patch * patch, width)
        self.places = nn.Parameter(torch.empty((height // patch) * (columns // patch), width))
        self.blocks = nn.ModuleList(
            Block(width, heads, self.dropout, bias=True, causal=False)
            for _ in range(integer("layers", layers, low=1, high=10_000))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        self._initialise()

    def _initialise(self) -> None:
        glorot(self)
        for weight in (self.places, self.head.weight):
            nn.init.normal_(weight, std=0.02)

    def hidden_matrices(self) -> list[Tensor]:
        return linear_weights(self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = patches(x, self.patch)  # (B, T, C p p), T patches of p x p pixels
        x = self.embed(x) + self.places  # (B, T, width)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)  # (B, T, width)
        return self.head(self.norm(x).mean(1))  # (B, outputs)


def patches(x: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, H/size * W/size, C * size * size): squares of pixels, row by row."""
    b, c, h, w = x.shape
    squares = x.view(b, c, h // size, size, w // size, size).permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, p, p)
    return squares.reshape(b, -1, c * size * size)  # (B, T, C p p)
