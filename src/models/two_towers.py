"""Two towers: one embeds images, the other their captions, in one space."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import integer
from .base import Network, linear_weights, widths_of
from .transformer import Block, checked_sizes, glorot


class ImageTower(nn.Module):
    """(B, C, H, W) -> (B, outputs): 3x3 convolutions of stride 2 with ``widths`` channels, then a linear layer.

    Each convolution is followed by a layer norm over the whole image and GELU. The linear layer sees every place, so
    it can tell left from right. Weights as torch initialises them, U(-a, a) with a = 1 / sqrt(fan_in).
    """

    def __init__(self, input_shape: Sequence[int], widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        before, height, width = input_shape
        layers: list[nn.Module] = []
        for after in widths:
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(1, after), nn.GELU()]
            before, height, width = after, -(-height // 2), -(-width // 2)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * height * width, outputs, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class TextTower(nn.Module):
    """(B, T) characters, 0 behind a text's end -> (B, outputs): GPT's blocks, which see both ways, and a linear layer.

    The mean is over the characters of the text. All texts are padded to one length, so that a text has the same
    embedding whatever others share its batch. Linear layers by Glorot's uniform rule, embeddings from N(0, 1): with
    GPT's small weights all texts begin alike, and a narrow tower takes hundreds of steps to tell them apart.
    """

    def __init__(self, characters: int, length: int, layers: int, heads: int, width: int, outputs: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(characters + 1, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, 0.0, bias=False, causal=False) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.head = nn.Linear(width, outputs, bias=False)
        glorot(self)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places.weight  # (B, T, D)
        for block in self.blocks:
            x = block(x)  # (B, T, D)
        real = (ids > 0).to(x.dtype)[..., None]  # (B, T, 1)
        return self.head((self.norm(x) * real).sum(1) / real.sum(1).clamp_min(1))  # (B, outputs)


class TwoTowers(Network):
    """(B, C, H, W) images and (B,) classes -> embeddings of length 1, (B, embedding) each; the name of a class is its
    caption, read as characters.

    ``forward`` is the image tower. ``scalars`` are numbers that the network learns for its loss, by name.
    """

    inputs = "image"
    gives = "towers"
    captions: Tensor  # (K, T) characters of each class's name

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        class_names: Sequence[str],
        scalars: Mapping[str, Any],
        widths: Sequence[int],
        n_layer: int,
        n_head: int,
        n_embd: int,
        embedding: int,
    ) -> None:
        super().__init__()
        layers, heads, width = checked_sizes(n_layer, n_head, n_embd)
        embedding = integer("embedding", embedding, low=1)
        self.register_buffer("captions", spelled(class_names), persistent=False)
        self.image_tower = ImageTower(input_shape, widths_of(widths), embedding)
        alphabet, length = int(self.captions.max()), self.captions.shape[1]
        self.text_tower = TextTower(alphabet, length, layers, heads, width, embedding)
        self.scalars = nn.ParameterDict(
            {name: nn.Parameter(torch.full((1,), one.start), one.learnt) for name, one in scalars.items()}
        )

    def hidden_matrices(self) -> list[Tensor]:
        return linear_weights(self.text_tower.blocks)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.image_tower(x), dim=-1)  # (B, embedding)

    def texts(self, classes: Tensor) -> Tensor:
        """(B,) -> (B, embedding): of the captions of classes."""
        return F.normalize(self.text_tower(self.captions[classes]), dim=-1)

    def all_texts(self) -> Tensor:
        """(K, embedding): of the captions of all classes."""
        return F.normalize(self.text_tower(self.captions), dim=-1)


def spelled(names: Sequence[str]) -> Tensor:
    """(K, T): the characters of each name, numbered from 1 in the order of all that there are, and 0 behind its end."""
    number = {character: i for i, character in enumerate(sorted({*"".join(names)}), 1)}
    longest = max(1, *map(len, names))
    return torch.tensor([[number[c] for c in name] + [0] * (longest - len(name)) for name in names], device="cpu")
