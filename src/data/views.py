"""Views of images: each is cropped, mirrored and recoloured at random, as contrastive learning wants it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import number
from .base import Chance, Spec

SMALL = 28  # pixels a side, up to which a crop shows more
CROPS = (0.6, 0.2)  # the smallest share of a small image that a crop shows, and of a larger one
RATIO = 4 / 3  # of the sides of a crop, at most
JITTERED = 0.8  # share of the views whose colours are changed
GREY = (0.299, 0.587, 0.114)  # of red, green and blue; ITU-R BT.601
# to brightness and two axes of colour and back: a rotation of these is a change of hue
# on the CPU even if the first import is where networks are only measured, on torch's device without memory
YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64, device="cpu"
)


@dataclass(frozen=True)
class Views:
    """How views of images are drawn.

    crop: the smallest share of an image's area that a view shows; None: 0.6 of images up to 28 pixels, 0.2 of larger
    ones. flip: whether half of the views are mirrored. jitter: how far colours are changed, in 8 of 10 views: factors
    of brightness, contrast and saturation from 1 - 0.8 jitter to 1 + 0.8 jitter, hue by up to 0.2 jitter of a turn.
    grey: the share of views without colour. The last two are for colour images alone.
    Source: Chen et al. 2020, arXiv:2002.05709, appendix A, without blur, which small images do not need. A crop's sides
    are drawn such that it fits, where the authors' code draws again; hue is turned in YIQ, not in HSV.
    """

    crop: float | None
    flip: bool
    jitter: float
    grey: float

    def __post_init__(self) -> None:
        if self.crop is not None:
            number("crop", self.crop, above=0, high=1)
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip must be true or false, got {self.flip!r}")
        number("jitter", self.jitter, low=0, high=1)
        number("grey", self.grey, low=0, high=1)

    def draw(self, x: Tensor, spec: Spec, chance: Chance, name: str) -> Tensor:
        """(B, C, H, W) standardised as ``spec`` says -> the same: a view of each image.

        The draws are a function of ``name`` and of what batch it is.
        """
        crop = CROPS[max(x.shape[2:]) > SMALL] if self.crop is None else self.crop
        x = cropped(x, crop, self.flip, chance.uniform(f"{name}/crop", 5).to(x))
        if x.shape[1] != len(GREY) or not (self.jitter or self.grey):
            return x
        colours = recoloured(spec.pixels(x), self.jitter, self.grey, chance.uniform(f"{name}/colour", 6).to(x))
        return spec.standardised(colours)


def cropped(x: Tensor, crop: float, flip: bool, draws: Tensor) -> Tensor:
    """(B, C, H, W), (B, 5) in [0, 1) -> the same size: a part of each image, enlarged, and mirrored half the time.

    The share of the area is uniform in [crop, 1], the logarithm of the ratio of the sides, relative to the image's, in
    [-ln 4/3, ln 4/3], as far as the part is no longer than the image; its place is uniform.
    """
    area = crop + (1 - crop) * draws[:, 0]
    low, high = area.clamp_min(1 / RATIO).log(), (1 / area).clamp_max(RATIO).log()
    ratio = (low + (high - low) * draws[:, 1]).exp()
    width, height = (area * ratio).sqrt(), (area / ratio).sqrt()  # shares of the sides
    across, down = (1 - width) * (2 * draws[:, 2] - 1), (1 - height) * (2 * draws[:, 3] - 1)  # the centre, in [-1, 1]
    if flip:
        width = torch.where(draws[:, 4] < 0.5, -width, width)
    zero = torch.zeros_like(width)
    theta = torch.stack([width, zero, across, zero, height, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def recoloured(x: Tensor, jitter: float, grey: float, draws: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1], (B, 6) in [0, 1) -> the same: brightness, contrast, saturation and hue, then grey."""
    factors = 1 + 0.8 * jitter * (2 * draws[:, :3, None, None, None] - 1)  # (B, 3, 1, 1, 1)
    weights = torch.tensor(GREY).to(x)[:, None, None]
    y = (x * factors[:, 0]).clamp(0, 1)
    y = torch.lerp((y * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True), y, factors[:, 1]).clamp(0, 1)
    y = torch.lerp((y * weights).sum(1, keepdim=True), y, factors[:, 2]).clamp(0, 1)
    y = turned(y, 2 * math.pi * 0.2 * jitter * (2 * draws[:, 3] - 1)).clamp(0, 1)
    y = torch.where((draws[:, 4] < JITTERED)[:, None, None, None], y, x)
    return torch.where((draws[:, 5] < grey)[:, None, None, None], (y * weights).sum(1, keepdim=True), y)


def turned(x: Tensor, angle: Tensor) -> Tensor:
    """(B, 3, H, W), (B,) -> the same, its hues turned by an angle in radians."""
    yiq = YIQ.to(x)
    turn = torch.zeros(len(x), 3, 3).to(x)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    matrix = torch.linalg.inv(YIQ).to(x) @ turn @ yiq  # (B, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrix, x)
