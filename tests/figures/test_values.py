"""The pictures of predicted numbers: what is drawn is what was measured."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from src.figures.style import pixels
from src.figures.values import MOST_DOTS, value_pictures

LEVELS = [k / 20 for k in range(1, 20)]


def outcome(n: int = 400) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    y = rng.uniform(-60, 60, n)
    point = y + rng.normal(0, 10, n)
    metrics = {"rmse": 10.1, "mae": 7.9, "r2": 0.91, "crps": 5.6, "coverage": 0.905, "width": 33.0}
    ranks = {"count": [n // 10] * 10, "levels": LEVELS, "coverage": LEVELS}
    return {"metrics": {"test": metrics}, "ranks": ranks}, {"targets": y, "point": point, "error": y - point}


def drawn(n: int = 400, unit: str = "degrees", title: str = "a\nb") -> dict[str, Figure]:
    result, columns = outcome(n)
    return dict(value_pictures(title, result, columns, unit))


def words(figure: Figure) -> str:
    texts: Iterator[str] = (text.get_text() for axes in figure.axes for text in axes.texts)
    labels = (label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()))
    return "\n".join([*texts, *labels])


def test_each_picture_says_its_numbers_and_its_unit() -> None:
    found = drawn()
    assert list(found) == ["predicted_against_true", "error_by_target", "ranks", "interval_coverage"]
    assert {"rmse 10.1", "mae 7.9", "r2 0.910", "target (degrees)"} <= {
        *words(found["predicted_against_true"]).split("\n")
    }
    assert {"crps 5.6", "90 % interval: 90.5 %", "mean width 33 degrees"} <= {
        *words(found["interval_coverage"]).split("\n")
    }
    assert "degrees" not in "".join(words(figure) for figure in drawn(unit="").values())


def test_dots_are_the_examples() -> None:
    result, columns = outcome()
    found = dict(value_pictures("a", result, columns, ""))
    for name, x, y in (("predicted_against_true", "targets", "point"), ("error_by_target", "targets", "error")):
        dots = found[name].axes[0].collections[0].get_offsets()
        np.testing.assert_allclose(np.asarray(dots), np.stack([columns[x], columns[y]], 1))
    bars = [bar.get_height() for bar in found["ranks"].axes[0].patches]
    np.testing.assert_allclose(bars, 0.1)
    curve = found["interval_coverage"].axes[0].lines[1]
    np.testing.assert_allclose(curve.get_xdata(), LEVELS)  # type: ignore[arg-type]


def test_many_examples_are_thinned_evenly() -> None:
    for n in (MOST_DOTS, MOST_DOTS + 1, 3 * MOST_DOTS):
        dots = len(drawn(n)["error_by_target"].axes[0].collections[0].get_offsets())
        assert MOST_DOTS / 2 < dots <= MOST_DOTS


@pytest.mark.parametrize("n", [1, 2, 11, 13])
def test_few_examples_are_drawn(n: int) -> None:
    for figure in drawn(n).values():
        assert pixels(figure).std() > 0


def test_values_that_are_all_equal_are_drawn() -> None:
    result, columns = outcome(30)
    same = {name: np.zeros(30) for name in columns}
    result["metrics"]["test"]["r2"] = None
    for _, figure in value_pictures("a", result, same, ""):
        assert pixels(figure).std() > 0
    assert "r2" not in words(dict(value_pictures("a", result, same, ""))["predicted_against_true"])


def test_the_same_numbers_give_the_same_pixels_whatever_they_are_called() -> None:
    for title, unit in (("a", "degrees"), ("$x$ \\frac\n<b>", "$"), ("\u202e", "m/s²")):
        first, again = drawn(title=title, unit=unit), drawn(title=title, unit=unit)
        for name in first:
            assert np.array_equal(pixels(first[name]), pixels(again[name]))
