"""What every network says of itself, and how layers start."""

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import linear as product
from torch.nn.functional import normalize

from ..checks import integer

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU}


class Network(nn.Module):
    """A network: ``forward(inputs) -> logits``. The builder passes the data's sizes by name.

    A constructor may take ``input_shape``, ``num_classes``, ``class_names`` (of the data), ``outputs`` (logits that the
    loss wants) and ``scalars`` (numbers by name that are learnt for the loss, as its ``scalars`` has them).
    """

    inputs: ClassVar[str]  # image, text, table; several: "image or table"
    gives: ClassVar[str] = "logits"  # what a loss reads; "logits or features", if the last linear layer is its head

    def hidden_matrices(self) -> list[Tensor]:
        """The weights that ``optimizer=muon`` orthogonalises: matrices that map hidden units to hidden units.

        Not those of the input layer, of an embedding or of the head. None unless a network says which.
        """
        return []

    def headless(self) -> int:
        """Take off the last linear layer: from now on the network gives what that layer read, (B, F). Returns F.

        Raises ValueError if it has none.
        """
        name, head = head_of(self)
        self.set_submodule(name, nn.Identity())
        return head.in_features

    def cosine_head(self) -> None:
        """Make the last linear layer a ``CosineLinear`` with the same weights. Raises ValueError if there is none."""
        name, head = head_of(self)
        self.set_submodule(name, CosineLinear(head.weight))


def head_of(network: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer, what reads the features, and its name. Raises ValueError if there is none."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no linear layer at its end, whose inputs would be features")
    return layers[-1]


class CosineLinear(nn.Linear):
    """(..., F) -> (..., K): the cosines of the features and each row of the weights (K, F), in [-1, 1]; no bias."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight = nn.Parameter(weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return product(normalize(x, dim=-1), normalize(self.weight, dim=-1))


class RepeatedBlock(nn.Module):
    """One of the many equal blocks of a transformer. FSDP cuts a network into these."""


class LatentNetwork(Network):
    """A network with latents z: an encoder q(z | x) = N(mu, sigma^2) and a decoder p(x | z).

    ``forward(inputs)`` gives the decoder's outputs at z = mu.
    """

    gives = "latents"
    latents: int  # how many

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ...) -> mu and log sigma^2, (B, latents) each."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """(..., latents) -> (..., *input_shape): the outputs that a loss reads as p(x | z)."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        return self.decode(self.encode(inputs)[0])


class DenoisingNetwork(Network):
    """A network that sees noise in images: ``forward(images (B, C, H, W), time (B,)) -> (B, C, H, W)``.

    Time is in (0, 1]: 0 would be without noise, and at 1 there is nothing else. The loss reads what it gives.
    """

    gives = "denoised images"


class LineNetwork(Network):
    """A network that reads a line: ``forward(inputs) -> (B, frames, outputs)``, the first output being the blank.

    The frames are equally wide parts of the input, from left to right.
    """

    gives = "frames"
    frames: int  # how many, of inputs of the size for which it was made


class GenerativeNetwork(Network):
    """A network that makes images of latents, and scores images: its parts ``generator`` and ``discriminator``.

    Pixels are from -1 to 1. ``forward(images)`` gives the discriminator's scores.
    """

    gives = "generated images"
    latents: int  # how many

    def generate(self, z: Tensor) -> Tensor:
        """(B, latents) -> (B, *input_shape)."""
        raise NotImplementedError

    def discriminate(self, images: Tensor) -> Tensor:
        """(B, *input_shape) -> (B,): a score, larger for what looks real."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        return self.discriminate(inputs)


def linear(fan_in: int, fan_out: int, *, std: float, bias: bool = True) -> nn.Linear:
    """A linear layer with weights from N(0, std^2) and biases 0."""
    layer = nn.Linear(fan_in, fan_out, bias=bias)
    nn.init.normal_(layer.weight, std=std)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def hidden_std(fan_in: int, activation: str) -> float:
    """Of the weights before an activation: sqrt(2 / fan_in), and sqrt(1 / fan_in) before tanh.

    Sources: He et al. 2015, arXiv:1502.01852, eq. 10; LeCun et al. 1998, Efficient BackProp, eq. 16.
    """
    return math.sqrt((1 if activation == "tanh" else 2) / fan_in)


def widths_of(widths: Sequence[int]) -> list[int]:
    """The widths of hidden layers, checked."""
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        raise ValueError(f"widths must be a list of integers >= 1, got {widths!r}")
    return [integer("widths", width, low=1) for width in widths]


def linear_weights(module: nn.Module) -> list[Tensor]:
    """The weights of all linear layers in a module."""
    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]
