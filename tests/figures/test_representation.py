"""Pictures of features: what is drawn is what was measured."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.figures.representation import cosines, frame, neighbours, plane, spectrum
from src.figures.style import pixels

RNG = np.random.default_rng(0)
TITLE = "a run\non digits"


def test_each_histogram_is_as_high_as_its_fullest_bin() -> None:
    groups = {"near": RNG.uniform(0.5, 1.0, 50), "far": RNG.uniform(-1, 0.2, 500), "none": np.zeros(0)}
    figure = cosines(groups, TITLE)
    drawn = [patch.get_data() for patch in figure.axes[0].patches[::2]]  # type: ignore[attr-defined]
    assert [values.max() for values, _, _ in drawn] == [1, 1, 0]
    for (values, edges, _), given in zip(drawn, groups.values(), strict=True):
        count = np.histogram(given, edges)[0]
        np.testing.assert_allclose(values * max(count.max(), 1), count)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(groups)


def test_singular_values_are_relative_to_the_largest() -> None:
    (line, mark) = spectrum(np.array([8.0, 4.0, 1.0, 0.0]), 2.5, TITLE).axes[0].lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 1], [2, 0.5], [3, 0.125]])  # 0 has no logarithm
    assert list(mark.get_xdata()) == [2.5, 2.5]


@pytest.mark.parametrize("colour", [(), (3,)], ids=["grey", "colour"])
def test_neighbours_are_framed_by_whether_their_class_is_the_same(colour: tuple[int, ...]) -> None:
    images = RNG.random((2, 3, 5, 4, *colour)) * 0.9
    figure = neighbours(images, np.array([[True, False], [False, True]]), ["below"], TITLE)
    whole = np.asarray(figure.axes[0].get_images()[0].get_array())
    high, wide = 5 + 4 + 2, 4 + 4 + 2  # with its frame and the gap
    corner = {(r, c): tuple(whole[r * high, c * wide]) for r in range(2) for c in range(3)}
    assert corner[0, 0] == corner[1, 0] == (1, 1, 1)
    assert corner[0, 1] == corner[1, 2] != corner[0, 2] == corner[1, 1]
    inside = whole[high + 2 : high + 7, wide + 2 : wide + 6]
    np.testing.assert_allclose(inside, images[1, 1] if colour else np.repeat(images[1, 1][..., None], 3, -1))


def test_a_frame_is_around_the_image() -> None:
    found = frame(np.zeros((3, 2)), "white")
    assert found.shape == (7, 6, 3) and found.sum() == 3 * (7 * 6 - 3 * 2)


@pytest.mark.parametrize(
    "figure",
    [
        cosines({"one": np.ones(3)}, TITLE),
        spectrum(np.zeros(3), 0.0, TITLE),
        neighbours(np.zeros((10, 8, 28, 28)), np.zeros((10, 7), bool), ["below"], TITLE),
        plane(RNG.random((9, 2)), [0.5, 0.2], np.arange(9), [f"${k} a long name of a class" for k in range(10)], TITLE),
        plane(np.zeros((1, 2)), [0.0, 0.0], np.array([99]), [str(k) for k in range(100)], TITLE),
    ],
    ids=["equal", "collapsed", "neighbours", "plane", "many classes"],
)
def test_every_picture_can_be_drawn(figure: Figure) -> None:
    assert pixels(figure).std() > 1 and figure.get_figwidth() == 3.5
