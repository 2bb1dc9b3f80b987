"""Pictures of latents: each image where it belongs."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.figures.grids import GAP, mosaic
from src.figures.latent import bars, grid, pairs, scatter, traversal
from src.figures.style import pixels


@pytest.mark.parametrize("colour", [(), (3,)], ids=["grey", "colour"])
def test_a_mosaic_has_each_image_in_its_row_and_column(colour: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, 4, 5, *colour)) * 0.9
    whole = mosaic(images)
    assert whole.shape == (2 * 4 + GAP, 3 * 5 + 2 * GAP, *colour)
    seen = np.zeros(whole.shape[:2], bool)
    for row in range(2):
        for column in range(3):
            place = slice(row * (4 + GAP), row * (4 + GAP) + 4), slice(column * (5 + GAP), column * (5 + GAP) + 5)
            np.testing.assert_array_equal(whole[place], images[row, column])
            seen[place] = True
    assert (whole[~seen] == 1).all()


def test_originals_are_above_their_reconstructions() -> None:
    levels = np.arange(16) / 20
    images = np.broadcast_to(levels[:, None, None], (16, 2, 2))
    figure = pairs(images, images + 0.2, "a run\non digits")
    shown = figure.axes[0].get_images()[0].get_array()
    assert shown is not None
    values = np.asarray(shown)[:: 2 + GAP, :: 2 + GAP]
    np.testing.assert_allclose(values, [levels[:8], levels[:8] + 0.2, levels[8:], levels[8:] + 0.2])


def test_a_few_images_are_one_row() -> None:
    images = np.zeros((3, 2, 2))
    assert np.asarray(pairs(images, images, "").axes[0].get_images()[0].get_array()).shape == (4 + GAP, 6 + 2 * GAP)


def test_bars_are_the_largest_first_in_the_colour_of_their_use() -> None:
    figure = bars(np.array([0.0, 3.0, 1.0]), np.array([False, True, True]), "a run\non digits")
    drawn = figure.axes[0].patches
    assert [patch.get_height() for patch in drawn] == [3.0, 1.0, 0.0]  # type: ignore[attr-defined]
    assert drawn[0].get_facecolor() == drawn[1].get_facecolor() != drawn[2].get_facecolor()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["active: 2", "not: 1"]


@pytest.mark.parametrize(
    "figure",
    [
        grid(np.zeros((2, 2, 4, 4, 3)), "below", "a run\non digits"),
        traversal(np.zeros((3, 9, 4, 4)), [7, 0, 2], "a run\non digits"),
        bars(np.zeros(1), np.array([False]), "collapsed\non digits"),
        scatter(np.zeros((4, 2)), np.array([0, 1, 1, 0]), ["a", "$b$", "never"], "a run\non digits"),
    ],
    ids=["grid", "traversal", "bars", "scatter"],
)
def test_every_picture_can_be_drawn(figure: Figure) -> None:
    assert pixels(figure).std() > 1 and figure.get_figwidth() == 3.5
