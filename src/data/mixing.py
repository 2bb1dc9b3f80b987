"""Mixed training images: each is blended, or patched, with another of its batch, and so is its target."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Pair

MIXES = ("mixup", "cutmix")


def mixed(x: Tensor, labels: Tensor, classes: int, mix: str, alpha: float, rng: np.random.Generator) -> Pair:
    """(B, C, H, W) floats, (B,) labels -> images, and targets (B, classes) w e_y + (1 - w) e_y', y' of the partner.

    Partners are a permutation of the batch, which draws one lambda ~ Beta(alpha, alpha), as in both papers' code.
    mixup: lambda x + (1 - lambda) x', w = lambda. Source: Zhang et al. 2018, arXiv:1710.09412, figure 1.
    cutmix: x with a box of x' in its place, w the share of pixels left of x. The box has sqrt(1 - lambda) of each side,
    its centre is uniform, and it ends at the image's border. Source: Yun et al. 2019, arXiv:1905.04899, section 3.1.
    """
    weight = rng.beta(alpha, alpha)
    partner = torch.from_numpy(rng.permutation(len(labels))).to(x.device)
    if mix == "mixup":
        x = torch.lerp(x[partner], x, weight)
    else:
        rows, columns = box(weight, x.shape[-2], x.shape[-1], rng)
        patch = x[partner, :, rows, columns]
        x = x.clone()
        x[:, :, rows, columns] = patch
        weight = 1 - patch[0, 0].numel() / x[0, 0].numel()
    one_hot = F.one_hot(labels, classes).to(x.dtype)
    return x, torch.lerp(one_hot[partner], one_hot, weight)


def box(weight: float, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a box that covers 1 - ``weight`` of an image, or less where it is cut at the border."""
    spans = []
    for side in (height, width):
        half = int(side * (1 - weight) ** 0.5) // 2
        centre = int(rng.integers(side))
        spans.append(slice(max(0, centre - half), min(side, centre + half)))
    return spans[0], spans[1]
