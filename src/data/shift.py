"""Test images made worse, to see what a model's confidence does when the data shift."""

from ..system import torchvision_cpu  # noqa: F401  before torchvision

# isort: split
import math

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import gaussian_blur
from torchvision.transforms.functional import rotate as rotate_tensor

from .base import EvalLoader, Pair, Spec, generator

# What severities 1 to 5 mean. noise, blur and contrast are the constants of CIFAR-10-C, for images of 32 pixels; rotate
# those of MNIST-C, which has no rotation in CIFAR-10-C to go by. They are taken for images of every size.
# Sources: Hendrycks & Dietterich 2019, arXiv:1903.12261, create_c/make_cifar_c.py of its code; Mu & Gilmer 2019,
# arXiv:1906.02337, corruptions.py of its code.
AMOUNTS = {
    "noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # standard deviation
    "blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # sigma, in pixels
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # share of the contrast that is left
    "rotate": (0.2, 0.4, 0.6, 0.8, 1.0),  # radians
}


def shifted(loader: EvalLoader, spec: Spec, kind: str, severity: int, seed: int) -> EvalLoader:
    """The batches of ``loader``, their images corrupted.

    Batches are standardised by the spec's mean and standard deviation; the corruption is of pixels in [0, 1]. It is a
    pure function of the batch and (seed, severity, the batch's index).
    """

    def take(index: int) -> Pair:
        x, targets = loader.take(index)
        pixels = spec.pixels(x).clamp(0, 1)
        worse = corrupted(pixels, kind, severity, generator("shift", kind, seed, severity, index))
        return spec.standardised(worse).contiguous(), targets

    return EvalLoader(take, loader.batches, loader.split)


def corrupted(pixels: Tensor, kind: str, severity: int, g: torch.Generator) -> Tensor:
    """(B, C, H, W) pixels in [0, 1] -> the same, clipped to [0, 1]. ``g`` is a CPU generator; only noise draws.

    noise     x + N(0, a^2), each pixel and channel by itself
    blur      Gaussian of standard deviation a pixels, cut off at 4 a; beyond the border its pixels repeat
    contrast  mean + a (x - mean), by the mean of each image and channel
    rotate    by a radians counter-clockwise around the centre, bilinear, zeros from outside. (MNIST-C draws the
              direction; here it is one, so that nothing but noise is random.)

    ``AMOUNTS`` has each severity's a.
    """
    a = AMOUNTS[kind][severity - 1]
    return {"noise": noise, "blur": blur, "contrast": contrast, "rotate": rotate}[kind](pixels, a, g).clamp(0, 1)


def noise(pixels: Tensor, sd: float, g: torch.Generator) -> Tensor:
    return pixels + sd * torch.randn(pixels.shape, generator=g, dtype=torch.float32).to(pixels)


def blur(pixels: Tensor, sigma: float, g: torch.Generator) -> Tensor:
    reach = int(4 * sigma + 0.5)  # as scikit-image's gaussian, which CIFAR-10-C calls
    wide = gaussian_blur(pad(pixels, [reach] * 4, mode="replicate"), [2 * reach + 1] * 2, [sigma] * 2)
    return wide[..., reach:-reach, reach:-reach]


def contrast(pixels: Tensor, share: float, g: torch.Generator) -> Tensor:
    mean = pixels.mean((-2, -1), keepdim=True)
    return mean + share * (pixels - mean)


def rotate(pixels: Tensor, angle: float, g: torch.Generator) -> Tensor:
    return rotate_tensor(pixels, math.degrees(angle), InterpolationMode.BILINEAR)
