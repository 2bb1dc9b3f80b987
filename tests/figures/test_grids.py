"""Grids of made images: every pixel at its place, read by a second library."""

import io

import matplotlib.image
import numpy as np
import pytest

from src.figures.grids import GAP, grid


def read(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png), "png")


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (5, 2, 3), (16, 4, 4), (17, 4, 5)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_each_image_is_at_its_place(count: int, rows: int, columns: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (count, channels, 5, 7)) / 255).astype(np.float32)
    if channels == 2:
        images[:, 1] = images[:, 0]  # the mean is a grey of its own otherwise, between two levels
    shown = read(grid(images))
    times = shown.shape[0] // (rows * (5 + GAP) - GAP)
    assert shown.shape[:2] == (times * (rows * (5 + GAP) - GAP), times * (columns * (7 + GAP) - GAP))
    assert 240 < shown.shape[1] <= 480
    small = shown[::times, ::times]
    assert np.array_equal(small.repeat(times, 0).repeat(times, 1), shown), "enlarged by whole pixels"
    blank = np.ones(small.shape[:2], bool)
    for i, image in enumerate(images):
        y, x = (i // columns) * (5 + GAP), (i % columns) * (7 + GAP)
        expected = image.transpose(1, 2, 0) if channels == 3 else image[0]
        np.testing.assert_array_equal(np.rint(255 * small[y : y + 5, x : x + 7]), np.rint(255 * expected))
        blank[y : y + 5, x : x + 7] = False
    assert (small[blank] == 1).all()


def test_what_is_out_of_range_is_cut_and_a_large_grid_keeps_its_size() -> None:
    images = np.array([-3, 0.5, 7], np.float32).reshape(3, 1, 1, 1) * np.ones((1, 1, 300, 300), np.float32)
    shown = read(grid(images))
    assert shown.shape == (602, 602)
    assert [round(255 * shown[y, x]) for y, x in ((0, 0), (0, 302), (302, 0))] == [0, 128, 255]
