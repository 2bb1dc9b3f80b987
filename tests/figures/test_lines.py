"""The pictures of lines that are read: what is drawn is what the frames say, and all of it is within the picture."""

import itertools
import math
from pathlib import Path

import matplotlib.text
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from src.data.base import EvalLoader, Spec
from src.figures.lines import (
    Array,
    Line,
    alignments,
    apart,
    edits_by_kind,
    errors_by_length,
    greedy_places,
    lengths,
    lines_of,
    rate,
    rows_of,
    worst,
)
from src.figures.style import save

DIGITS = [str(k) for k in range(10)]
HOSTILE = ["$", "\n", "<script>", "\\alpha", "a" * 60, "中", " ", "_", "^", "{", "\x1b", "%", "&", "#"]


def line(path: list[int], outputs: int = 11, truth: str = "12", guess: str = "12", edits: int = 0) -> Line:
    """Frames that say ``path`` with probability 0.9."""
    p = np.full((len(path), outputs), 0.1 / (outputs - 1))
    p[range(len(path)), path] = 0.9
    return Line(np.zeros((28, 4 * len(path))), p, truth, guess, edits, 0.5)


def texts(figure: Figure) -> list[matplotlib.text.Text]:
    """All but the numbers of ticks, of which matplotlib has more than it draws."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
    return [text for text in found if text.get_text()]


def within(figure: Figure) -> None:
    """No text leaves the figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    for text in texts(figure):
        box = text.get_window_extent(renderer)
        assert box.x0 >= -1 and box.y0 >= -1, text.get_text()
        assert box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1, text.get_text()


def test_characters_stand_below_the_frames_that_say_them() -> None:
    p = line([0, 2, 2, 0, 2, 3, 0, 0]).probabilities
    assert greedy_places(p, DIGITS) == [(2.0, "1"), (4.5, "1"), (5.5, "2")]
    assert greedy_places(line([0, 0]).probabilities, DIGITS) == []
    assert greedy_places(line([1, 1]).probabilities, DIGITS) == [(1.0, "0")]


def test_characters_do_not_cover_each_other() -> None:
    assert apart([1, 5, 5.5, 6, 20], 2) == [1, 5, 7, 9, 20]
    many = line([1, 2] * 24)
    figure = alignments([many], DIGITS, "a\nb")
    within(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    boxes = [text.get_window_extent(renderer) for text in figure.axes[1].texts]
    assert len(boxes) == 48
    assert all(a.x1 <= b.x0 + 1 for a, b in itertools.pairwise(boxes))


def test_the_map_is_that_of_the_frames() -> None:
    shown = line([0, 5, 0, 7])
    figure = alignments([shown, shown], DIGITS, "a\nb")
    maps = [axes.images[0].get_array() for axes in figure.axes]
    assert len(maps) == 4
    np.testing.assert_allclose(np.asarray(maps[1]), shown.probabilities.T)
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == ["-", *DIGITS]


def test_of_many_classes_those_that_frames_name_are_shown() -> None:
    shown = line([0, 40, 0, 7, 33], outputs=81)
    rows = rows_of(shown, 80)
    assert len(rows) == 12 and {0, 7, 33, 40} <= set(rows.tolist()) and (np.diff(rows) > 0).all()


def test_truth_and_verdict_are_told() -> None:
    lines = [
        line([0, 2], truth="12", guess="1", edits=1),
        line([0], truth="", guess=""),
        line([2, 3], truth="9", guess="12", edits=2),
    ]
    said = {text.get_text() for text in texts(alignments(lines, DIGITS, "a\nb"))}
    assert {"12", "1 edit, 0.50", "(no character)", "right, 0.50", "2 edits, 0.50"} <= said


def test_strange_classes_and_long_lines_stay_within(tmp_path: Path) -> None:
    path = [k % 15 for k in range(100)]
    figure = alignments([line(path, 15, "".join(HOSTILE), "$" * 300, 9)], HOSTILE, "<b>\n$x$")
    within(figure)
    save(figure, tmp_path / "a.png")


def test_bars_are_the_edits_in_100_characters() -> None:
    counts = {"substituted": {"greedy": 30, "beam": 20}, "deleted": {"greedy": 5, "beam": 0}}
    figure = edits_by_kind(counts, 1000, "a\nb")
    within(figure)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)] == pytest.approx(
        [3.0, 0.5, 2.0, 0.0]
    )
    assert [text.get_text() for text in axes.texts] == ["30", "5", "20", "0"]
    none = edits_by_kind({"substituted": {"greedy": 0}}, 0, "a\nb")
    within(none)
    assert not none.legends


def test_errors_by_length_are_those_of_the_lines() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(0, 7, 300)
    edits = rng.binomial(length, 0.2) + (length == 0)
    figure = errors_by_length(length, edits, "a\nb")
    within(figure)
    wrong, rates = (np.asarray(line.get_xydata()) for line in figure.axes[0].lines[:2])
    for k in range(7):
        of = length == k
        assert wrong[k].tolist() == pytest.approx([k, 100 * (edits[of] > 0).mean()])
        truth = 100 * edits[of].sum() / length[of].sum() if k else math.nan
        assert rates[k].tolist() == pytest.approx([k, truth], nan_ok=True)


@pytest.mark.parametrize("length", [np.zeros(5, int), np.arange(1), np.full(3, 4)], ids=["empty", "one", "alike"])
def test_few_lines_are_drawn(length: Array) -> None:
    within(errors_by_length(length, length * 0, "a\nb"))


def test_many_lengths_are_put_together() -> None:
    length = np.random.default_rng(1).integers(0, 80, 500)
    groups = lengths(length)
    assert 5 <= len(groups) <= 10 and min(map(len, groups)) >= 25
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    assert all(length[a].max() < length[b].min() for a, b in itertools.pairwise(groups))


def test_the_interval_of_a_rate_of_lines_of_one_length_is_that_of_a_mean() -> None:
    edits = np.array([0, 1, 2, 0, 0, 1])
    ratio, half = rate(edits, np.full(6, 5))
    assert (ratio, half) == pytest.approx((4 / 30, 1.96 * (edits / 5).std(ddof=1) / math.sqrt(6)))


def test_wrong_lines_come_first_the_most_confident_before() -> None:
    edits, confidence = np.array([0, 1, 0, 2, 0, 0, 0, 0]), np.array([0.9, 0.2, 0.1, 0.8, 0.7, 0.95, 0.96, 0.97])
    assert worst(edits, confidence) == [3, 1, 2, 4, 0, 5]


def test_lines_are_those_of_the_loader() -> None:
    """Three lines in batches of two: what is chosen is found in its batch, in its own pixels and characters."""
    pixels = torch.arange(3 * 4 * 6).view(3, 1, 4, 6) / 72
    spec = Spec("image", (1, 4, 6), ("a", "b"), (1, 1), mean=(0.25,), std=(0.5,), targets="sequence")
    targets = torch.tensor([[0, -1], [1, 0], [-1, -1]])
    loader = EvalLoader(
        lambda i: ((pixels[2 * i : 2 * i + 2] - 0.25) / 0.5, targets[2 * i : 2 * i + 2]), range(2), "test"
    )
    examples = {"targets": targets, "decoded": torch.tensor([[0, -1], [1, -1], [-1, -1]])}
    examples |= {"log_probs": torch.zeros(3, 2, 3), "edits": torch.tensor([0, 1, 0]), "confidence": torch.ones(3)}
    shown = lines_of([1, 2], examples, loader, spec)
    assert [(line.truth, line.guess, line.edits) for line in shown] == [("ba", "b", 1), ("", "", 0)]
    for line, i in zip(shown, (1, 2), strict=True):
        np.testing.assert_allclose(line.image, pixels[i, 0], atol=1e-6)
        np.testing.assert_array_equal(line.probabilities, 1)
