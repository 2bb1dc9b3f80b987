"""What a diffusion model gets wrong at which time, and how its images arise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from .latent import high, tiles
from .style import BLUE, CARD, TITLE, VERMILION, axes_at, styled, titled

Array = npt.NDArray[Any]


@styled
def by_time(times: Mapping[str, Sequence[float]], title: str) -> Figure:
    """Over time, from images to noise: ``bits`` of the bound in each part, which ends at the step ``until``, and the
    means of ``loss`` and ``noise_mse`` there, with a logarithmic axis."""
    edges = np.array([0, *times["until"]], float)
    figure = Figure(figsize=(CARD, 3.3 + TITLE))
    above, below = (axes_at(figure, 0.68, bottom, CARD - 0.8, 1.15) for bottom in (1.95, 0.46))
    for name, colour, text in (("loss", BLUE, "its loss"), ("noise_mse", VERMILION, "error of the noise")):
        values = np.array(times[name], float)
        above.stairs(np.where(values > 0, values, np.nan), edges, color=colour, label=text, linewidth=1.8)
    above.set(ylabel="mean", yscale="log", xlim=(0, edges[-1]))
    below.stairs(np.array(times["bits"], float) / np.diff(edges), edges, color=BLUE, fill=True)
    below.set(xlabel="time step, from image to noise", ylabel="bits a step", xlim=(0, edges[-1]))
    figure.legend(*above.get_legend_handles_labels(), loc="upper right", ncols=2, bbox_to_anchor=(0.99, 1 - 0.1))
    titled(figure, title)
    return figure


@styled
def chain(images: Array, times: Sequence[int], title: str) -> Figure:
    """(M, K, H, W) or (M, K, H, W, 3): a row for each image, as it is at the K ``times``."""
    width = CARD - 0.2
    height = high(images, width)
    figure = Figure(figsize=(CARD, height + 0.46 + TITLE))
    whole = height + 0.46 + TITLE
    tiles(figure, images, 0.1, 0.44, width)
    for column, time in enumerate(times):
        middle = 0.1 + width * (column + 0.5) / len(times)
        figure.text(middle / CARD, 0.28 / whole, str(time), ha="center", fontsize=8)
    figure.text(0.5, 0.08 / whole, "images as they arise, and the time step", ha="center", fontsize=8)
    titled(figure, title)
    return figure
