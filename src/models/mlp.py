"""Multi-layer perceptron."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from ..checks import choice, number
from .base import ACTIVATIONS, Network, hidden_std, linear, linear_weights, widths_of


class MLP(Network):
    """(B, C, H, W) or (B, F) -> (B, outputs): flatten, [linear, activation, dropout] for each of ``widths``, linear.

    With ``batch_norm`` each linear layer but the last, then without bias, is followed by BatchNorm.
    Weights from N(0, 2 / fan_in) before relu, gelu and silu (He et al. 2015, arXiv:1502.01852, eq. 10), from
    N(0, 1 / fan_in) before tanh (LeCun et al. 1998, Efficient BackProp, eq. 16), from N(0, 0.01^2) before the logits
    (Goyal et al. 2017, arXiv:1706.02677, section 5.1), so that every loss starts near its value at z = 0; biases 0.
    """

    inputs = "image or table"
    gives = "logits or features"

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        outputs: int,
        widths: Sequence[int],
        batch_norm: bool,
        dropout: float,
        activation: str,
    ) -> None:
        super().__init__()
        sizes = [math.prod(input_shape), *widths_of(widths)]
        dropout = number("dropout", dropout, low=0, high=0.99)
        kind = ACTIVATIONS[choice("activation", activation, tuple(ACTIVATIONS))]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, width in itertools.pairwise(sizes):
            layers.append(linear(fan_in, width, std=hidden_std(fan_in, activation), bias=not batch_norm))
            layers += [*([nn.BatchNorm1d(width)] if batch_norm else []), kind()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*layers, linear(sizes[-1], outputs, std=0.01))

    def hidden_matrices(self) -> list[Tensor]:
        return linear_weights(self.layers)[1:-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # (B, outputs)
