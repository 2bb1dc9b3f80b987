"""What a diffusion model gets wrong at which time, and how its images arise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor

from .grids import Array
from .latent import high, tiles
from .pictures import picture
from .style import BLUE, CARD, TITLE, VERMILION, axes_at, styled, titled


def shown(images: Tensor) -> Array:
    """(..., C, H, W) from -1 to 1, or beyond -> (..., H, W) or, in colour, (..., H, W, 3), from 0 to 1."""
    return picture((images + 1) / 2)


@styled
def by_time(times: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Over the parts of time, each of which ends at a step in ``until``: the means of ``loss`` and ``noise_mse`` there,
    and the ``bits`` of the bound, a step each. All axes of values are logarithmic."""
    edges = np.array([0, *times["until"]], float)
    figure = Figure(figsize=(CARD, 3.5 + TITLE))
    above, below = (axes_at(figure, 0.72, bottom, CARD - 0.86, 1.2) for bottom in (1.98, 0.46))
    lines = (("loss", BLUE, "the loss", 3.0, "-"), ("noise_mse", VERMILION, "error of the noise", 1.4, "--"))
    for name, colour, text, width, style in lines:
        stairs(above, edges, np.array(times[name], float), color=colour, label=text, linewidth=width, linestyle=style)
    stairs(below, edges, np.array(times["bits"], float) / np.diff(edges), color=BLUE, linewidth=1.8)
    above.set(ylabel="mean")
    below.set(xlabel="time step, from image to noise", ylabel="bits a step")
    place = (0.99, 1 - (TITLE - 0.02) / (3.5 + TITLE))
    figure.legend(*above.get_legend_handles_labels(), loc="upper right", ncols=2, bbox_to_anchor=place)
    titled(figure, title)
    return figure


def stairs(axes: Axes, edges: Array, values: Array, **how: Any) -> None:
    """A line of steps, on a logarithmic axis whose ticks are written as plain numbers."""
    axes.stairs(np.where(values > 0, values, np.nan), edges, baseline=None, **how)
    axes.set(yscale="log", xlim=(0, edges[-1]))
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


@styled
def chain(images: Array, times: Sequence[int], title: str) -> Figure:
    """(M, K, H, W) or (M, K, H, W, 3): a row for each image, as it is at the K ``times``."""
    width = CARD - 0.2
    height = high(images, width)
    whole = height + 0.46 + TITLE
    figure = Figure(figsize=(CARD, whole))
    tiles(figure, images, 0.1, 0.44, width)
    for column, time in enumerate(times):
        middle = 0.1 + width * (column + 0.5) / len(times)
        figure.text(middle / CARD, 0.28 / whole, str(time), ha="center", fontsize=8)
    figure.text(0.5, 0.08 / whole, "images as they arise, and the time step", ha="center", fontsize=8)
    titled(figure, title)
    return figure
