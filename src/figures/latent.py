"""What a network with latents makes of images, and what its latents say."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .grids import GAP, Array, mosaic
from .style import BLUE, CARD, GREY, INK, PALE, TITLE, axes_at, fitted, styled, titled


def tiles(figure: Figure, images: Array, left: float, bottom: float, width: float) -> tuple[Axes, float]:
    """Axes with a mosaic that is ``width`` inches wide, and their height in inches."""
    whole = mosaic(images)
    height = width * whole.shape[0] / whole.shape[1]
    axes = axes_at(figure, left, bottom, width, height)
    axes.imshow(whole, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return axes, height


def high(images: Array, width: float) -> float:
    """Inches that the mosaic takes from top to bottom."""
    rows, columns, h, w = images.shape[:4]
    return width * (rows * (h + GAP) - GAP) / (columns * (w + GAP) - GAP)


@styled
def grid(images: Array, below: str, title: str) -> Figure:
    """Images (R, C, H, W) or (R, C, H, W, 3) from 0 to 1, and a line below them."""
    width = CARD - 0.2
    height = high(images, width)
    figure = Figure(figsize=(CARD, height + 0.3 + TITLE))
    tiles(figure, images, 0.1, 0.28, width)
    figure.text(0.5, 0.08 / (height + 0.3 + TITLE), below, ha="center", fontsize=8)
    titled(figure, title)
    return figure


def pairs(originals: Array, reconstructed: Array, title: str) -> Figure:
    """(M, H, W) each, M a multiple of 8: eight a row, each row above its reconstructions."""
    columns = min(8, len(originals))
    rows = len(originals) // columns
    kept = [
        images[: rows * columns].reshape(rows, 1, columns, *images.shape[1:]) for images in (originals, reconstructed)
    ]
    both = np.concatenate(kept, 1)
    both = both.reshape(2 * rows, columns, *originals.shape[1:])
    return grid(both, "test images, each above the mean of p(x | z) at z = mu", title)


@styled
def traversal(images: Array, latents: Sequence[int], title: str) -> Figure:
    """(L, S, H, W): a row for each of ``latents``, along which it goes from -3 to 3."""
    left, width = 0.42, CARD - 0.52
    height = high(images, width)
    figure = Figure(figsize=(CARD, height + 0.48 + TITLE))
    _, made = tiles(figure, images, left, 0.46, width)
    whole = height + 0.48 + TITLE
    for row, latent in enumerate(latents):
        middle = 0.46 + made * (1 - (row + 0.5) / len(latents))
        figure.text((left - 0.06) / CARD, middle / whole, str(latent), ha="right", va="center", fontsize=8)
    for level, place in ((-3, 0), (0, 0.5), (3, 1)):
        step = width / images.shape[1]
        figure.text((left + step / 2 + place * (width - step)) / CARD, 0.3 / whole, f"{level}", ha="center", fontsize=8)
    figure.text(0.5, 0.08 / whole, "one test image, with one latent changed", ha="center", fontsize=8)
    titled(figure, title)
    return figure


@styled
def bars(kl: Array, active: Array, title: str) -> Figure:
    """(D,) the mean KL of each latent in nats, largest first, and whether it is active."""
    figure = Figure(figsize=(CARD, 2.3 + TITLE))
    axes = axes_at(figure, 0.6, 0.46, CARD - 0.72, 1.56)
    order = np.argsort(-kl, kind="stable")
    axes.bar(np.arange(1, len(kl) + 1), kl[order], width=0.8, color=np.where(active[order], BLUE, GREY))
    axes.set(xlabel="latents, by their KL", ylabel="KL (nats)", ylim=(0, max(float(kl.max()) * 1.05, 1e-3)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(False, axis="x")
    known = [Patch(color=BLUE, label=f"active: {int(active.sum())}")]
    known += [Patch(color=GREY, label=f"not: {int((~active).sum())}")] if not active.all() else []
    figure.legend(handles=known, loc="upper right", ncols=2, bbox_to_anchor=(0.99, 1 - (TITLE - 0.04) / (2.3 + TITLE)))
    titled(figure, title)
    return figure


@styled
def scatter(mu: Array, classes: Array, names: Sequence[str], title: str) -> Figure:
    """(N, 2) posterior means, coloured by class, each class named in its middle."""
    side = CARD - 0.68
    figure = Figure(figsize=(CARD, side + 0.5 + TITLE))
    axes = axes_at(figure, 0.56, 0.46, side, side)
    shown = colormaps["turbo"](np.linspace(0.05, 0.95, len(names)))
    axes.scatter(mu[:, 0], mu[:, 1], s=1.5, c=shown[classes], linewidths=0)
    for k, name in enumerate(names):
        if (classes == k).any():
            x, y = np.median(mu[classes == k], 0)
            box = {"facecolor": "white", "edgecolor": PALE, "boxstyle": "round,pad=0.15"}
            axes.text(x, y, fitted(name, 0.7, 8), ha="center", va="center", fontsize=8, color=INK, bbox=box)
    axes.set(xlabel="mu of latent 0", ylabel="mu of latent 1")
    titled(figure, title)
    return figure
