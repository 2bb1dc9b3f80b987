"""Made images beside the training images that are nearest to them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from .grids import GAP
from .latent import high, tiles
from .style import CARD, TITLE, styled, titled

Array = npt.NDArray[Any]
SPACE = 0.12  # inches between the columns


@styled
def beside(made: Array, near: dict[str, Array], title: str) -> Figure:
    """(M, C, H, W) from 0 to 1, and by what is near, named, (M, K, C, H, W): a row is a made image and the nearest."""
    columns = {"made": made[:, None], **{f"near by {name}": images for name, images in near.items()}}
    shown = {name: pixels(images) for name, images in columns.items()}
    across = {name: images.shape[1] * (images.shape[3] + GAP) - GAP for name, images in shown.items()}  # pixels
    width = (CARD - 0.2 - SPACE * len(near)) / sum(across.values())  # of a pixel, in inches
    height = max(high(images, width * across[name]) for name, images in shown.items())
    figure = Figure(figsize=(CARD, height + 0.3 + TITLE))
    left = 0.1
    for name, images in shown.items():
        wide = width * across[name]
        tiles(figure, images, left, 0.28, wide)
        figure.text((left + wide / 2) / CARD, 0.1 / (height + 0.3 + TITLE), name, ha="center", fontsize=8)
        left += wide + SPACE
    titled(figure, title)
    return figure


def pixels(images: Array) -> Array:
    """(R, K, C, H, W) -> (R, K, H, W, 3) in colour, else (R, K, H, W), the mean of the channels."""
    return np.moveaxis(images, 2, -1) if images.shape[2] == 3 else images.mean(2)
