"""Figures: what is drawn is the input, and nothing lies outside the picture."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from src.figures.diagrams import confidence_histogram, ece, nll_by_position, reliability, reliability_grid, shift
from src.figures.mistakes import confusion, image_mistakes, text_mistakes
from src.figures.style import CYCLE, MARKS, fitted, pixels, readable, save

pytestmark = pytest.mark.filterwarnings("error")  # a glyph that the font lacks, a layout that does not fit

RNG = np.random.default_rng(0)
LONG = "n02123045 a tabby cat, WIDE AWAKE, with a name of 80 letters as no sane person $gives$ it"
RUN = f"{LONG}\non {LONG}, seed 0, 1,120 steps"
FASHION = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]
BINS = {  # over-confident in the last bin, under-confident in the 8th, exact in the 3rd, 100 examples in all
    "count": [0, 0, 10, 0, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 60],
    "confidence": [None, None, 0.2, None, None, None, None, 0.5, *[None] * 6, 0.95],
    "accuracy": [None, None, 0.2, None, None, None, None, 0.8, *[None] * 6, 0.65],
}
FULL = {
    "count": [7 * 2**i for i in range(15)],
    "confidence": [(i + 0.6) / 15 for i in range(15)],
    "accuracy": [0.9 - 0.04 * i for i in range(15)],
}
ONE = {"count": [0] * 14 + [1], "confidence": [None] * 14 + [1.0], "accuracy": [None] * 14 + [0.0]}
EMPTY = {"count": [0] * 15, "confidence": [None] * 15, "accuracy": [None] * 15}
CLEAN = {"accuracy": 0.9, "ece": 0.02}


def noisy(k: int) -> np.ndarray:
    return RNG.poisson(3, (k, k)) + 90_000 * np.eye(k, dtype=int)


def curves(n: int) -> dict[str, dict[str, list[float | None]]]:
    return {
        f"{i} {LONG}": {"accuracy": [0.8, 0.7, 0.6, 0.5, 0.4 - i / 99], "ece": [0.1, None, 0.3, 0.4, i / 99]}
        for i in range(n)
    }


def text_of(m: int) -> Figure:
    contexts = [*("a\nb\tc   ", "", LONG * 3, "W" * 90, "猫 \x00"), *["the end "] * 20][:m]
    signs = [*("\n", " ", "$", "W", "猫"), *"abcdefghijklmnopqrst"][:m]
    return text_mistakes(contexts, signs, signs[::-1], np.linspace(1, 0, m).tolist(), RUN)


def images_of(m: int, *shape: int, name: str = LONG) -> Figure:
    return image_mistakes(RNG.random((m, *shape)), [name] * m, [name] * m, [1.0] * m, RUN)


FIGURES: dict[str, Callable[[], Figure]] = {
    "reliability, two": lambda: reliability(BINS, FULL, RUN, 1.2345),
    "reliability, one example": lambda: reliability(ONE, None, RUN),
    "reliability, no example": lambda: reliability(EMPTY, EMPTY, RUN, 1e-5),
    "reliability, grid": lambda: reliability_grid({f"{i} {LONG}": (FULL, BINS)[i % 2] for i in range(5)}, LONG),
    "confidence, 10": lambda: confidence_histogram(RNG.random(10), RNG.random(10) < 0.5, RUN),
    "confidence, all right and sure": lambda: confidence_histogram(np.ones(10), np.ones(10, bool), RUN),
    "confidence, all wrong": lambda: confidence_histogram(np.full(10, 0.1), np.zeros(10, bool), RUN),
    "confidence, a million": lambda: confidence_histogram(RNG.random(10**6, np.float32), RNG.random(10**6) < 0.5, RUN),
    "confusion, 2": lambda: confusion(np.array([[123_456_789, 1], [0, 0]]), [LONG, "b"], RUN),
    "confusion, 10": lambda: confusion(noisy(10), FASHION, RUN),
    "confusion, 12": lambda: confusion(noisy(12) * 9_999, [f"{i} {LONG}" for i in range(12)], RUN),
    "confusion, 11": lambda: confusion(noisy(11) * 9_999, [f"{i} {LONG}" for i in range(11)], RUN),
    "confusion, 25": lambda: confusion(noisy(25), [f"{i} {LONG}" for i in range(25)], RUN),
    "confusion, 100": lambda: confusion(noisy(100), [f"{i} {LONG}" for i in range(100)], RUN),
    "confusion, letters": lambda: confusion(noisy(65), [*"\n $猫", *map(chr, range(65, 126))], RUN),
    "images, 0": lambda: images_of(0, 28, 28),
    "images, 1": lambda: images_of(1, 28, 28),
    "images, 7": lambda: images_of(7, 20, 40, 3),
    "images, 18": lambda: images_of(18, 32, 32, 3),
    "text, 0": lambda: text_of(0),
    "text, 1": lambda: text_of(1),
    "text, 25": lambda: text_of(25),
    "position, 1": lambda: nll_by_position(np.array([2.0]), np.array([0.1]), RUN),
    "position, 2": lambda: nll_by_position(np.array([2.0, 1234.5]), np.zeros(2), RUN),
    "position, 256": lambda: nll_by_position(RNG.random(256), RNG.random(256) / 9, RUN),
    "shift, 1": lambda: shift([1, 2, 3, 4, 5], curves(1), CLEAN),
    "shift, 15": lambda: shift([1, 2, 3, 4, 5], curves(15), CLEAN),
}


def texts(figure: Figure) -> list[Text]:
    """The texts that a drawn figure shows."""
    hidden: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not (low - 1e-9 <= tick.get_loc() <= high + 1e-9 and axis.get_visible() and axes.axison):
                    hidden |= {tick.label1, tick.label2}
            if not axes.axison:
                hidden |= {axis.label, axis.offsetText}
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


def shown(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_clipped_or_overlaps_and_the_file_is_small(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]()
    save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 200_000
    written = texts(figure)
    assert not any(text.get_parse_math() for text in written)  # "$" is a letter
    boxes = [text.get_window_extent() for text in written]
    for text, box in zip(written, boxes, strict=True):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
    inner = [(box.x0 + 1, box.x1 - 1, box.y0 + 1, box.y1 - 1) for box in boxes]
    for (a, p), (b, q) in combinations(zip(written, inner, strict=True), 2):
        assert p[1] < q[0] or q[1] < p[0] or p[3] < q[2] or q[3] < p[2], (a, b)
    with Image.open(tmp_path / "a.png") as image:
        rgb = np.asarray(image.convert("RGB"))
    edge = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    assert (edge == 255).all()  # ink at the edge would be the sign of something cut off
    assert (rgb < 128).any()


@pytest.mark.parametrize("name", [name for name in FIGURES if not name.startswith(("shift", "reliability, grid"))])
def test_letters_of_a_run_can_be_read_in_an_image_card_of_tensorboard(name: str) -> None:
    """A card is 350 pixels wide, and scales a picture to that; letters of 11 pixels can be read there."""
    figure = FIGURES[name]()
    pixels(figure)
    scale = 350 / figure.bbox.width
    assert min(text.get_fontsize() * figure.dpi / 72 * scale for text in texts(figure)) >= 11
    assert figure.bbox.height * scale <= 1024  # a card scrolls what is higher
    first, second = figure.get_suptitle().split("\n")
    assert (first[:5], second[:5]) == (RUN[:5], "on n0")


def bars(axes: Axes, name: str) -> list[tuple[float, float, float]]:
    """(left, bottom, height) of each bar of the group."""
    (group,) = [c for c in axes.containers if c.get_label() == name]
    return [(*patch.get_xy(), patch.get_height()) for patch in group]


def test_reliability_draws_the_bins() -> None:
    figure = reliability(BINS, FULL, "mnist, ce", 1.25)
    main, strip, other, _ = figure.axes
    np.testing.assert_allclose(bars(main, "accuracy"), [(2 / 15, 0, 0.2), (7 / 15, 0, 0.8), (14 / 15, 0, 0.65)])
    np.testing.assert_allclose(bars(main, "over"), [(14 / 15, 0.65, 0.3)])
    np.testing.assert_allclose(bars(main, "under"), [(7 / 15, 0.5, 0.3)])
    (strokes,) = [c for c in main.collections if c.get_label() == "confidence"]
    assert [segment[0][1] for segment in strokes.get_segments()] == [0.2, 0.5, 0.95]
    np.testing.assert_allclose([patch.get_height() for patch in strip.patches], np.array(BINS["count"]) / 100)
    # 0.10 * 0 + 0.30 * 0.3 + 0.60 * 0.3; accuracy 0.02 + 0.24 + 0.39; confidence 0.02 + 0.15 + 0.57
    assert main.texts[0].get_text() == "ece 0.2700\naccuracy 0.650\nconfidence 0.740"
    pixels(figure)
    assert {"mnist, ce", "before temperature scaling", "after temperature scaling, T = 1.25"} <= set(shown(figure))
    assert [height for _, _, height in bars(other, "accuracy")] == FULL["accuracy"]


def test_over_and_under_confidence_differ_without_colour() -> None:
    main = reliability(BINS, None, "").axes[0]
    hatches = {c.get_label(): {patch.get_hatch() for patch in c} for c in main.containers}
    assert hatches["accuracy"] == {None}
    assert len(hatches["over"] | hatches["under"] | {None}) == 3
    legend = {text.get_text(): patch.get_hatch() for text, patch in labelled(reliability(BINS, None, ""))}
    assert {legend["over-confident"]} == hatches["over"] and {legend["under-confident"]} == hatches["under"]


def labelled(figure: Figure) -> list[tuple[Text, Any]]:
    (legend,) = figure.legends
    pairs = zip(legend.get_texts(), legend.legend_handles, strict=True)
    return [(text, handle) for text, handle in pairs if hasattr(handle, "get_hatch")]


def test_one_panel_without_temperature_scaling_and_a_grid_for_many() -> None:
    assert len(reliability(BINS, None, "").axes) == 2
    figure = reliability_grid({"ce": BINS, "focal": FULL, "brier": ONE, "poly1": FULL}, "mnist")
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["ce", "focal", "brier", "poly1"]


def test_ece_of_bins_is_that_of_the_examples() -> None:
    confidence, correct = RNG.random(5000), RNG.random(5000) < 0.4
    index = np.ceil(confidence * 15).astype(int) - 1
    bins: dict[str, list[Any]] = {"count": [], "confidence": [], "accuracy": []}
    expected = 0.0
    for b in range(15):
        rows = index == b
        bins["count"].append(int(rows.sum()))
        bins["confidence"].append(confidence[rows].mean())
        bins["accuracy"].append(correct[rows].mean())
        expected += abs(correct[rows].sum() - confidence[rows].sum()) / 5000
    assert ece(bins) == pytest.approx(expected, rel=1e-12)
    assert ece(EMPTY) == 0 and ece(ONE) == 1


def test_confidence_histogram_counts_right_and_wrong_apart() -> None:
    confidence = np.array([0.31, 0.97, 0.98, 1.0000001, 0.52, 0.99], np.float32)
    correct = np.array([True, True, True, True, False, False])
    figure = confidence_histogram(confidence, correct, "a run")
    right, wrong = figure.axes
    expected = np.zeros((2, 20))
    expected[0, [6, 19]] = 0.25, 0.75
    expected[1, [10, 19]] = 0.5
    drawn = [[patch.get_height() for patch in axes.patches] for axes in (right, wrong)]
    np.testing.assert_allclose(drawn, expected)
    assert (right.get_title("left"), wrong.get_title("left")) == ("right: 4 of 6", "wrong: 2 of 6")
    at = [line.get_xdata()[0] for line in wrong.lines]  # type: ignore[index]
    np.testing.assert_allclose(at, [4 / 6, (0.31 + 0.97 + 0.98 + 1 + 0.52 + 0.99) / 6], rtol=1e-6)
    assert wrong.lines[0].get_linestyle() != wrong.lines[1].get_linestyle()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["accuracy 0.667", "mean confidence 0.795"]


def test_confusion_shows_counts_and_the_share_of_the_truth() -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])
    axes = confusion(counts, ["cat", "dog", "$x$"], "").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 0, 0], [0.25, 0, 0.75]])  # type: ignore[arg-type]
    cells = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert cells == {(0, 0): "8", (0, 1): "2", (2, 0): "1", (2, 2): "3"}
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog", "$x$"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("truth", "prediction")


def test_confusion_of_many_classes_names_every_seventh() -> None:
    axes = confusion(noisy(100), [f"class {i}" for i in range(100)], "").axes[0]
    assert not list(axes.texts)
    assert list(axes.get_xticks()) == list(range(0, 100, 7))
    assert [t.get_text() for t in axes.get_xticklabels()] == [f"class {i}" for i in range(0, 100, 7)]


def test_counts_of_a_confusion_fit_their_cells() -> None:
    counts = np.array([[1_234, 10_000, 999_999, 940, 123_456], [1_234_567, 10**9, 5, 0, 1_000]]).repeat(5, 0)
    narrow, wide = (confusion(np.tile(counts, (1, 2)), names, "").axes[0] for names in (FASHION, "abcdefghij"))
    assert {t.get_text() for t in narrow.texts} == {"1k", "10k", "1M", "940", "", "1G", "5"}
    assert {t.get_text() for t in wide.texts} == {"1234", "10k", "1M", "940", "123k", "1G", "5", "1000"}


def test_image_mistakes_show_the_images_in_order() -> None:
    images = RNG.random((6, 4, 4, 3))
    names = [chr(97 + i) for i in range(6)]
    figure = image_mistakes(images, names, names[::-1], [0.984, 0.9, 0.8, 0.7, 0.6, 0.5], "a run")
    (axes,) = figure.axes
    np.testing.assert_array_equal([image.get_array() for image in axes.images], images)
    lines = axes.texts[1:]  # the first says how they are read
    assert [text.get_text() for text in lines][:2] == ["a → f, 0.98", "b → e, 0.90"]
    pixels(figure)
    for number, (image, text) in enumerate(zip(axes.images, lines, strict=True)):
        place, line = image.get_window_extent(), text.get_window_extent()
        assert place.width == pytest.approx(place.height) and place.y1 < line.y0 < place.y1 + 10  # above its image
        assert place.x0 + place.x1 == pytest.approx(line.x0 + line.x1, abs=2)
        row, column = divmod(number, 3)
        assert (place.x0 // 117, (figure.bbox.y1 - 70 - place.y0) // 134) == (column, row)
    long = image_mistakes(images[:2], names[:2], ["a", "a rather long name"], [0.5, 0.5], "")
    assert long.axes[0].texts[1].get_text() == "a →\na, 0.50"
    (wide,) = image_mistakes(np.ones((1, 20, 40)), ["a"], ["b"], [0.5], "").axes[0].images
    assert wide.get_window_extent().width == pytest.approx(2 * wide.get_window_extent().height)
    assert "truth → guess, confidence" in shown(figure)
    grey = image_mistakes(np.full((1, 4, 4), 0.5), ["a"], ["b"], [1.0], "")
    assert (abs(pixels(grey) - 127.5) < 1).all(-1).mean() > 0.1  # half is grey, whatever the image's own range
    assert shown(image_mistakes(images[:0], [], [], [], "a run")) == ["a run", "no image was mistaken"]


def test_text_mistakes_make_blanks_visible() -> None:
    figure = text_mistakes(["x = 1\n\t", "so "], ["\n", "a"], [" ", "b"], [0.987, 0.5], "a run")
    pixels(figure)
    assert shown(figure)[4:-1] == ["x = 1⏎⇥", "⏎", "␣", "0.99", "so␣", "a", "b", "0.50"]
    assert all(text.get_fontfamily() == ["DejaVu Sans Mono"] for text in texts(figure)[4:-1])
    assert set(readable("".join(MARKS) + "猫\x00é")) == {*MARKS.values(), "�", "é"}
    assert shown(text_mistakes([], [], [], [], "a run")) == ["a run", "no character was mistaken"]
    cut = shown(text_mistakes(["0123456789" * 6], ["a"], ["b"], [1.0], ""))[4]
    assert cut == "…" + ("0123456789" * 6)[-22:]


@pytest.mark.parametrize("length", [2, 256])
def test_nll_by_position_is_the_mean_and_its_interval(length: int) -> None:
    mean, error = RNG.random(length) + 1, RNG.random(length) / 9
    axes = nll_by_position(mean, error, "").axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.column_stack([np.arange(1, length + 1), mean]))  # type: ignore[arg-type]
    band = axes.collections[0].get_paths()
    corners = np.unique(np.round(np.concatenate([path.vertices for path in band]), 9), axis=0)
    for t in range(length):
        heights = corners[corners[:, 0] == t + 1, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], mean[t] + 1.96 * error[t] * np.array([-1, 1]))


def test_shift_starts_at_the_clean_value() -> None:
    figure = shift([1, 3], {"blur": {"accuracy": [0.8, 0.5], "ece": [0.1, None]}, "noise": CLEAN_TWICE}, CLEAN)
    accuracy, error = figure.axes
    assert (accuracy.get_title(), error.get_title()) == ("accuracy", "ece")
    np.testing.assert_array_equal(accuracy.lines[0].get_xydata(), [[0, 0.9], [1, 0.8], [3, 0.5]])  # type: ignore[arg-type]
    np.testing.assert_array_equal(error.lines[0].get_ydata(), [0.02, 0.1, np.nan])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["blur", "noise"]
    looks = {(line.get_color(), line.get_marker()) for line in accuracy.lines}
    assert len(looks) == 2


CLEAN_TWICE = {name: [value, value] for name, value in CLEAN.items()}


def test_no_two_lines_of_many_look_alike() -> None:
    axes = shift([1, 2, 3, 4, 5], curves(15), CLEAN).axes[0]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}) == 15


@pytest.mark.parametrize("name", ["reliability, two", "images, 1", "text, 1", "shift, 15"])
def test_the_same_input_gives_the_same_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.RNG", np.random.default_rng(1))
    first = FIGURES[name]()
    save(first, tmp_path / "a.png")
    save(first, tmp_path / "again.png")
    monkeypatch.setattr(f"{__name__}.RNG", np.random.default_rng(1))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 300, "figure.dpi": 50}):
        mine = dict(matplotlib.rcParams)
        save(FIGURES[name](), tmp_path / "b.png")
        assert dict(matplotlib.rcParams) == mine
    written = (tmp_path / "a.png").read_bytes()
    assert written == (tmp_path / "b.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png", "again.png"}
    with Image.open(tmp_path / "a.png") as image:
        assert image.info == {}  # no date, no version


def test_the_file_shows_what_was_drawn_and_tensorboard_gets_the_same_bytes(tmp_path: Path) -> None:
    figure = reliability(BINS, FULL, "t", 1.5)
    rgb = pixels(figure)
    assert rgb.shape == (669, 350, 3) and rgb.dtype == np.uint8
    assert save(figure, tmp_path / "a.png") == (tmp_path / "a.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), rgb)


def test_a_label_is_cut_to_its_width() -> None:
    assert fitted("cat", 1, 9) == "cat"
    for text in (LONG, "W" * 300, "i" * 300):
        figure = Figure(dpi=100)
        shown = figure.text(0, 0, fitted(text, 1.5, 9), fontsize=9, parse_math=False)
        pixels(figure)
        assert 130 < shown.get_window_extent().width <= 150
        assert shown.get_text()[0] == text[0] and shown.get_text()[-1] == text[-1] and "…" in shown.get_text()
    assert len(CYCLE) == len(set(CYCLE)) == 7
