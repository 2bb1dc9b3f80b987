"""The forest plot draws the cells' numbers and words; as SVG it has the page's colours, and names in it do nothing."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from src.figures.style import pixels, svg
from src.report.compare import Comparison, compare
from src.report.findings import findings
from src.report.forest import MARKS, UNTESTED, forest, panels
from src.report.groups import sections_of
from src.report.read import find_runs
from tests.figures.test_diagrams import texts
from tests.report.fabricated import HINGE, Kind, ablation_of

LONG = "a_loss_with_a_name_that_is_far_too_long_for_a_row_of_a_figure"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Losses that are better, worse and alike, one without probabilities and one with too few seeds."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = [Kind("ce"), Kind("good", 1.6), Kind("bad", 0.6), Kind("alike"), HINGE, Kind(LONG, sharpness=3)]
    ablation_of(folder, kinds, range(4))
    ablation_of(folder, [Kind("young")], range(2))
    (section,) = sections_of(find_runs([folder]))
    return compare(section, section.find("ce")[0])


def labels_of(comparison: Comparison) -> list[str]:
    return [group.label for group in comparison.groups]


def drawn(axes: Axes, row: int) -> tuple[list[float], float, dict[str, str]]:
    """A row's interval, value and mark."""
    lines = [line for line in axes.lines if line.get_ydata()[0] == row and line.get_label() != "zero"]
    (mark,) = [line for line in lines if len(line.get_xdata()) == 1]
    (whisker,) = [line for line in lines if len(line.get_xdata()) == 2 and line.get_ydata()[1] == row]
    look = {"marker": str(mark.get_marker()), "fill": to_hex(mark.get_markerfacecolor())}
    return list(whisker.get_xdata()), float(mark.get_xdata()[0]), look


def test_rows_are_the_differences_and_marks_the_words(comparison: Comparison) -> None:
    figure = forest(comparison, labels_of(comparison))
    metrics, rows = panels(comparison), labels_of(comparison)[1:]
    assert [metric.name for metric in metrics] == ["accuracy", "nll", "ece", "ece_ts"]
    seen = set()
    for axes, metric in zip(figure.axes, metrics, strict=True):
        assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
        for row, label in enumerate(rows):
            cell = comparison.cells.get((label, metric.name))
            if cell is None:
                assert label == "hinge" and "—" in [text.get_text() for text in axes.texts]
                continue
            assert cell.difference is not None
            ends, value, look = drawn(axes, row)
            assert (ends, value) == ([cell.difference.low, cell.difference.high], cell.difference.value)
            word = cell.word(metric) or UNTESTED
            assert look["marker"] == MARKS[word]["marker"]
            assert (look["fill"] == "#ffffff") == word.startswith("perhaps")
            assert (word == UNTESTED) == (label == "young")
            seen.add(word)
    assert {"better", "worse", UNTESTED} <= seen
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == seen
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][1:] == rows[1:]


def test_words_differ_without_colour() -> None:
    looks = {word: (mark["marker"], mark.get("markerfacecolor") == "white") for word, mark in MARKS.items()}
    assert all(looks[a] != looks[b] for a, b in combinations(looks, 2))


def test_the_better_side_is_marked(comparison: Comparison) -> None:
    figure = forest(comparison, labels_of(comparison))
    for axes, metric in zip(figure.axes, panels(comparison), strict=True):
        (shade,) = axes.patches
        x0, x1 = sorted(point[0] for point in (shade.get_xy(), (shade.get_x() + shade.get_width(), 0)))  # type: ignore[attr-defined]
        assert (x0, x1) == ((0, axes.get_xlim()[1]) if metric.better > 0 else (axes.get_xlim()[0], 0))
        arrow = "better →" if metric.better > 0 else "← better"
        assert arrow in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(("columns", "widest"), [(1, 3.9), (2, 6.3), (5, 12)])  # a phone, GitHub, a page of 1280
def test_nothing_is_clipped_or_overlaps(columns: int, widest: float, comparison: Comparison) -> None:
    figure = forest(comparison, labels_of(comparison), columns=columns, title=(f"{LONG} {LONG}", "below"))
    pixels(figure)
    assert figure.get_size_inches()[0] <= widest
    boxes = [(text, text.get_window_extent()) for text in texts(figure)]
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
    for (a, p), (b, q) in combinations(boxes, 2):
        apart = p.x1 < q.x0 + 2 or q.x1 < p.x0 + 2 or p.y1 < q.y0 + 2 or q.y1 < p.y0 + 2
        assert apart, (a, b)


def test_no_baseline_no_panel(comparison: Comparison) -> None:
    alone = compare(comparison.section, None)
    assert panels(alone) == [] and findings(alone)


def element(figure: Figure, text: str = "a figure") -> str:
    return svg(figure, text)


def test_svg_takes_the_colours_of_the_page(comparison: Comparison) -> None:
    found = element(forest(comparison, labels_of(comparison)), "it's <b>")
    root = ET.fromstring(found)
    assert root.attrib["aria-label"] == "it's <b>" and not {"width", "height"} & root.attrib.keys()
    assert "currentColor" in found and ": var(--blue, #0072B2)" in found
    assert not any(colour in found for colour in ("#222222", "#000000", "#ffffff", "white", "<style", "<?xml"))
    written = {"".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")}
    assert {"good", "ece after temp. scaling", "better"} <= written  # letters are letters
    assert found == element(forest(comparison, labels_of(comparison)), "it's <b>")


def test_two_svgs_share_no_id(comparison: Comparison) -> None:
    figure = forest(comparison, labels_of(comparison))
    one, two = (
        {node.attrib["id"] for node in ET.fromstring(element(figure, text)).iter() if "id" in node.attrib}
        for text in ("one", "two")
    )
    assert one and not one & two


def test_a_name_in_an_svg_does_nothing(comparison: Comparison, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    section = comparison.section
    base = next(group for group in section.groups if group.label == "ce")
    other = replace(next(group for group in section.groups if group.label == "good"), label=evil)
    found = element(forest(compare(replace(section, groups=[base, other]), base), ["ce", evil]), evil)
    assert "<script" not in found and "&lt;script&gt;" in found
