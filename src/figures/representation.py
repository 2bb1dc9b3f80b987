"""What features look like: how near views and images are, how features lie, and whose neighbours they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from .grids import Array
from .latent import high, tiles
from .style import BLUE, CARD, GREEN, GREY, TITLE, VERMILION, axes_at, fitted, styled, titled

BINS = 60
NAMED = 12  # classes that a legend has room for
FRAME = 2  # pixels around an image, in the colour of what it is
COLOURS = (BLUE, GREEN, VERMILION)


@styled
def cosines(groups: Mapping[str, Array], title: str) -> Figure:
    """A histogram of each of up to three groups of cosines, by its name, each as high as its fullest bin."""
    figure = Figure(figsize=(CARD, 2.9 + TITLE))
    axes = axes_at(figure, 0.6, 0.46, CARD - 0.74, 1.7)
    low = min((float(values.min()) for values in groups.values() if len(values)), default=-1.0)
    edges = np.linspace(max(-1.0, low - 0.02), 1.0, BINS + 1)
    for (name, values), colour in zip(groups.items(), COLOURS, strict=False):
        count, _ = np.histogram(np.clip(values, -1, 1), edges)
        height = count / max(count.max(), 1)
        axes.stairs(height, edges, fill=True, color=colour, alpha=0.25)
        axes.stairs(height, edges, color=colour, linewidth=1.5, label=name)
    axes.set(xlim=(edges[0], 1), ylim=(0, 1.03), xlabel="cosine of two features", ylabel="pairs / fullest bin")
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.02, 1 - TITLE / (2.9 + TITLE)))
    titled(figure, title)
    return figure


@styled
def spectrum(singular: Array, rank: float, title: str) -> Figure:
    """(D,) singular values of the features, largest first, relative to the largest; ``rank`` of them are used."""
    figure = Figure(figsize=(CARD, 2.3 + TITLE))
    axes = axes_at(figure, 0.66, 0.46, CARD - 0.8, 1.78)
    shown = singular / max(float(singular[0]), 1e-300)
    kept = shown > 1e-8
    axes.plot(np.arange(1, len(shown) + 1)[kept], shown[kept], color=BLUE, marker="o", markersize=2.5)
    axes.axvline(rank, color=GREY, linestyle="--", linewidth=1)
    if kept.sum() > 1:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="directions", ylabel="singular value / largest", xlim=(0, len(shown) + 1))
    text = f"effective rank {rank:.1f} of {len(shown)}"
    axes.text(0.97, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=8)
    titled(figure, title)
    return figure


@styled
def plane(points: Array, share: Sequence[float], classes: Array, names: Sequence[str], title: str) -> Figure:
    """(N, 2) points, coloured by class: the first two principal components, which have so large a ``share`` of the
    variance."""
    few = len(names) <= NAMED
    side, room = CARD - 0.72, 0.5 + (0.17 * -(-len(names) // 3) if few else 0)
    figure = Figure(figsize=(CARD, side + room + TITLE))
    axes = axes_at(figure, 0.6, room, side, side)
    shown = colormaps["turbo"](np.linspace(0.05, 0.95, len(names)))
    axes.scatter(points[:, 0], points[:, 1], s=2, c=shown[classes], linewidths=0, alpha=0.7)
    labels = [f"component {i} ({part:.0%} of the variance)" for i, part in enumerate(share, 1)]
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if few:
        dot: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": ""}
        known = [
            Line2D([], [], color=colour, label=fitted(name, 0.8, 8), **dot)
            for name, colour in zip(names, shown, strict=True)
        ]
        figure.legend(handles=known, loc="lower center", ncols=3, columnspacing=1, handletextpad=0.2, labelspacing=0.2)
    titled(figure, title)
    return figure


@styled
def neighbours(images: Array, same: Array, below: Sequence[str], title: str) -> Figure:
    """(R, C, H, W[, 3]) images from 0 to 1: a row is one image and its nearest, framed blue where ``same``
    (R, C - 1) says that the class is the same, else red; lines ``below`` them."""
    framed = np.stack([[frame(one, of) for one, of in zip(*row, strict=True)] for row in _rows(images, same)])
    width, room = CARD - 0.2, 0.28 + 0.16 * len(below)
    height = high(framed, width)
    figure = Figure(figsize=(CARD, height + room + TITLE))
    tiles(figure, framed, 0.1, room, width)
    whole = height + room + TITLE
    known = [Patch(color=BLUE, label="same class"), Patch(color=VERMILION, label="another")]
    figure.legend(handles=known, loc="lower center", ncols=2, bbox_to_anchor=(0.5, -0.02 / whole))
    for line, text in enumerate(reversed(below)):
        figure.text(0.5, (0.28 + 0.16 * line) / whole, text, ha="center", fontsize=8)
    titled(figure, title)
    return figure


def _rows(images: Array, same: Array) -> list[tuple[Array, list[str]]]:
    """Each row's images, and the colours of their frames."""
    return [
        (row, ["white", *(BLUE if right else VERMILION for right in of)]) for row, of in zip(images, same, strict=True)
    ]


def frame(image: Array, colour: str) -> Array:
    """(H, W) or (H, W, 3) -> (H + 4, W + 4, 3)."""
    coloured = image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
    height, width = coloured.shape[:2]
    found = np.full((height + 2 * FRAME, width + 2 * FRAME, 3), to_rgb(colour))
    found[FRAME:-FRAME, FRAME:-FRAME] = coloured
    return found
