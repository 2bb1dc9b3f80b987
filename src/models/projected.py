"""A network's features with a projector behind them, in place of its head."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from ..checks import integer
from .base import Network, linear_weights


class Projected(Network):
    """(B, ...) -> (B, D): a backbone's features (B, F), then [linear, BatchNorm, ReLU] for each width but the last,
    and linear, all without a bias before BatchNorm.

    The backbone is a network without the layer that gave its outputs. A loss over pairs reads the projection; what is
    kept and measured are the features. The projector starts as torch does, from U(-a, a) with a = 1 / sqrt(fan_in).
    Source: Chen et al. 2020, arXiv:2002.05709, section 4.2.
    """

    inputs = "image or table"
    gives = "features"

    def __init__(self, backbone: Network, projector: Sequence[int]) -> None:
        super().__init__()
        if isinstance(projector, str) or not isinstance(projector, Sequence) or not projector:
            raise ValueError(f"projector must be a list of at least one integer >= 1, got {projector!r}")
        widths = [integer("projector", width, low=1) for width in projector]
        hidden = {id(weight) for weight in backbone.hidden_matrices()}  # the last of them may look like a head below
        self.hidden = [name for name, weight in backbone.named_parameters() if id(weight) in hidden]
        self.backbone, self.features = backbone, backbone.headless()
        sizes = [self.features, *widths]
        layers: list[nn.Module] = []
        for fan_in, width in itertools.pairwise(sizes[:-1]):
            layers += [nn.Linear(fan_in, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        self.projector = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    def hidden_matrices(self) -> list[Tensor]:
        return [*map(self.backbone.get_parameter, self.hidden), *linear_weights(self.projector)[:-1]]

    def forward(self, x: Tensor) -> Tensor:
        return self.projector(self.backbone(x))
