"""A small convolutional network that reads a line from left to right."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..checks import integer, number
from .base import LineNetwork, widths_of

STRIDE = 4  # columns of a frame: two poolings by 2


class LineCNN(LineNetwork):
    """(B, C, H, W) -> (B, T, outputs), T = W // 4 frames: convolutions, then an optional recurrent layer, and a head.

    [convolution 3 x 3, relu, max-pooling 2 x 2] for each of the two first ``widths``, convolution 3 x 3 and relu for
    the third, one convolution over the whole height that is left, and one over 5 frames, both of the last width, with
    relu. So a frame sees 34 columns of the image. With ``gru`` units, a
    bidirectional GRU reads all frames, and each sees the whole line. Weights before relu from N(0, 2 / fan_in) (He et
    al. 2015, arXiv:1502.01852, eq. 10), before the logits from N(0, 0.01^2), so that all frames start near uniform.
    Source: Shi et al. 2015, arXiv:1507.05717 (CRNN), much smaller.
    """

    inputs = "image"

    def __init__(
        self, *, input_shape: Sequence[int], outputs: int, widths: Sequence[int], gru: int, dropout: float
    ) -> None:
        super().__init__()
        channels, height, columns = input_shape
        if len(widths_of(widths)) != 4:
            raise ValueError(f"widths must be a list of 4 integers >= 1, got {widths!r}")
        if min(height, columns) < STRIDE:
            raise ValueError(f"widths need images of {STRIDE} x {STRIDE} pixels or more, got {height} x {columns}")
        self.frames = columns // STRIDE
        first, second, third, last = widths
        self.layers = nn.Sequential(
            *(convolution(channels, first, (3, 3)), nn.ReLU(), nn.MaxPool2d(2)),
            *(convolution(first, second, (3, 3)), nn.ReLU(), nn.MaxPool2d(2)),
            *(convolution(second, third, (3, 3)), nn.ReLU()),
            *(convolution(third, last, (height // STRIDE, 1)), nn.ReLU(), nn.Flatten(2)),  # (B, last, T)
            *(nn.Dropout(number("dropout", dropout, low=0, high=0.99)), nn.Conv1d(last, last, 5, padding=2), nn.ReLU()),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        units = integer("gru", gru, low=0)
        self.gru = nn.GRU(last, units, batch_first=True, bidirectional=True) if units else None
        self.head = nn.Linear(2 * units or last, outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x).transpose(1, 2)  # (B, T, last)
        if self.gru is not None:
            x, _ = self.gru(x)  # (B, T, 2 gru)
        # of rows that do not lie side by side, torch multiplies weights that learn in another way than others
        return self.head(x.contiguous())  # (B, T, outputs)


def convolution(inputs: int, outputs: int, size: tuple[int, int]) -> nn.Conv2d:
    """Padded so that the image keeps its size if the window is a square, and its width if it is a column."""
    return nn.Conv2d(inputs, outputs, size, padding=size[1] // 2)
