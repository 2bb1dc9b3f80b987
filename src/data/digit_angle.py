"""Rotated digits, whose angle is to be told."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import generator
from .digits import official_digits
from .official import Arrays
from .values import Examples, Given, ValueData

WIDEST = 60.0  # degrees


class DigitAngle(ValueData):
    """The 5,000 digits of mnist_5k, each rotated by an angle from U(-60, 60) degrees, counter-clockwise: the target.

    An example's angle is a function of its split and its place there, the same for every run. Validation has its share
    of each digit. A digit tells its angle well (4, 7) or hardly (0, and 8, upright or upside down), so errors differ in
    size from input to input, and some of them cannot be avoided.
    """

    kind = "image"
    name = "digit_angle"
    unit = "degrees"
    low, high = -WIDEST, WIDEST

    def read(self) -> Given:
        found = official_digits()
        return Given(*(self._rotated(split, found.splits()[split]) for split in ("train", "test")))

    def _rotated(self, split: str, digits: Arrays) -> Examples:
        images, labels = digits
        share = torch.rand(len(labels), generator=generator("angle", split, self.split_seed), dtype=torch.float64)
        angles = self.low + (self.high - self.low) * share
        return Examples(rotated(images.double() / 255, angles), angles, labels)


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """(N, C, H, W), (N,) -> (N, C, H, W): each image turned counter-clockwise about its centre, bilinear, 0 beyond."""
    angle = degrees.deg2rad()
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Row by row, where in the image the pixel (x, y) of the result comes from; y points down.
    source = torch.stack([cos, -sin, zero, sin, cos, zero], -1).view(-1, 2, 3)
    grid = F.affine_grid(source, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
