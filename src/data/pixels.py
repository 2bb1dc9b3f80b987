"""What is done to the pixels of many images at once."""

import torch
from torch import Tensor

from .resident import Rows


def augmented(x: Tensor, pad: int, flip: bool, batch: int, own: slice, g: torch.Generator) -> Tensor:
    """(B, C, H, W) -> the same: each image shifted by up to ``pad`` pixels over zeros, and mirrored half the time.

    ``x`` is the part ``own`` of ``batch`` images; the draws are for all of them, so that ranks share a batch.
    Source: He et al. 2016, arXiv:1512.03385, section 4.2 (4 pixels and mirroring for CIFAR).
    """
    count, _, height, width = x.shape
    device = x.device
    rows = torch.arange(height).expand(count, -1)
    columns = torch.arange(width).expand(count, -1)
    if pad:
        shift = torch.randint(2 * pad + 1, (2, batch, 1), generator=g)[:, own]
        rows, columns = rows + shift[0], columns + shift[1]
        x = torch.nn.functional.pad(x, [pad] * 4)
    if flip:
        mirrored = torch.rand(batch, 1, generator=g, dtype=torch.float32)[own] < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(device), columns.to(device)
    moved = x[torch.arange(count, device=device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cut_out(x: Tensor, size: int, batch: int, own: slice, g: torch.Generator) -> Tensor:
    """(B, C, H, W) standardised -> the same, with a square of ``size`` pixels a side set to 0, the mean, in each image.

    Its centre is any pixel alike, so it may reach beyond the border. ``x`` is the part ``own`` of ``batch`` images.
    Source: DeVries & Taylor 2017, arXiv:1708.04552, section 3.
    """
    inside = []
    for side in x.shape[2:]:
        first = torch.randint(side, (batch, 1), generator=g)[own] - size // 2
        pixel = torch.arange(side)
        inside.append(((pixel >= first) & (pixel < first + size)).to(x.device))
    return x.masked_fill(inside[0][:, None, :, None] & inside[1][:, None, None, :], 0)


def binarised(x: Tensor, batch: int, own: slice, g: torch.Generator) -> Tensor:
    """(B, C, H, W) uint8 -> the same, each pixel v now 255 with the probability v / 255, which is exact, and else 0.

    ``x`` is the part ``own`` of ``batch`` images.
    Source: Salakhutdinov & Murray 2008, On the quantitative analysis of deep belief networks (ICML), section 4.1.
    """
    level = torch.randint(255, (batch, *x.shape[1:]), generator=g, dtype=torch.uint8)[
        own
    ]  # v of its 255 values are < v
    return (level.to(x.device) < x).to(torch.uint8) * 255


def drawn_once(images: Rows, g: torch.Generator) -> Rows:
    """All images, binarised."""
    return Rows(binarised(images[:], len(images), slice(None), g))


def channel_statistics(images: Rows) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) uint8 -> mean and standard deviation (C, 1, 1) of pixels in [0, 1], from exact integer counts."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for _, block in images.blocks():
        for channel, count in zip(block.unbind(1), counts, strict=True):
            count += torch.bincount(channel.flatten(), minlength=256)
    mean, std = [], []
    for count in counts:
        mu = (count @ levels) / count.sum()
        mean.append(mu)
        std.append(((count @ (levels - mu) ** 2) / count.sum()).sqrt().clamp_min(1e-3))
    return torch.stack(mean).float()[:, None, None], torch.stack(std).float()[:, None, None]
