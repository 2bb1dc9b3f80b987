"""The bars of a score in its parts have the means and the intervals of the table."""

from dataclasses import replace

import pytest

from src.metrics.columns import Column
from src.report.compare import Cell, Comparison
from src.report.measure import Span
from src.report.parts import divided, stacked
from tests.report.test_forest import comparison, labels_of  # noqa: F401  a fixture

SCORE = Column("score", judged=True, unit="nats", parts=("taken", "left"))


@pytest.fixture
def split(comparison: Comparison) -> Comparison:  # noqa: F811
    """Two losses with a score in two parts, and one with the score only."""
    ce, good, bad = labels_of(comparison)[0], "good", "bad"
    values = {(ce, "taken"): 0.3, (ce, "left"): 0.5, (good, "taken"): -0.01, (good, "left"): 0.4}
    values |= {(ce, "score"): 0.8, (good, "score"): 0.39, (bad, "score"): 0.9}
    span = comparison.cells[ce, "nll"].mean
    cells = {key: Cell(replace(span, value=v, low=v - 0.02, high=v + 0.03)) for key, v in values.items()}
    return replace(comparison, metrics=[*comparison.metrics, SCORE], cells=cells)


def test_bars_and_strokes_are_the_cells(split: Comparison) -> None:
    assert [metric.name for metric in divided(split)] == ["score"]
    figure = stacked(split, SCORE, labels_of(split))
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ce", "good"]
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width()) for bar in axes.patches]
    expected = [(0, 0, 0.5), (0, 0.5, 0.3), (1, 0, 0.4), (1, 0.4, 0)]  # a part below 0 has no length
    assert [tuple(map(float, bar)) for bar in bars] == [pytest.approx(bar) for bar in expected]
    strokes = [tuple(map(float, line.get_xdata())) for line in axes.lines]
    wanted = [(0.48, 0.53), (0.78, 0.83), (0.38, 0.43), (0.37, 0.42)]
    assert strokes == [pytest.approx(ends) for ends in wanted]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["left", "taken"]


def test_a_score_without_parts_is_not_drawn(comparison: Comparison) -> None:  # noqa: F811
    assert divided(comparison) == []


def test_what_is_no_number_has_no_stroke(split: Comparison) -> None:
    mean = split.cells["good", "left"].mean
    assert isinstance(mean, Span)
    split.cells["good", "left"] = Cell(replace(mean, low=float("-inf"), high=float("inf")))
    (axes,) = stacked(split, SCORE, labels_of(split)).axes
    assert len(axes.lines) == 3
