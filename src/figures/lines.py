"""What a network reads in the images of lines: frame by frame, what kind of mistakes it makes, and in which lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..data.base import EvalLoader, Spec
from . import diagrams
from .pictures import picture
from .style import BLUE, CARD, GREEN, GREY, ORANGE, TITLE, VERMILION, axes_at, fitted, styled, titled

Array = npt.NDArray[Any]
BLANK = "-"  # how a map calls the output that is no character
ROWS = 12  # of a map at most: of more outputs, those that the frames make the most of
ROW, LEFT, GAP = 0.105, 0.3, 0.13  # inches: a row of a map, what is left of it, what is below a line
HIGHEST = 0.6  # inches of a strip
GROUPS = 10  # of lines by their length, at most
SHOWN = 6  # lines, frame by frame
KINDS = {"substitutions": "wrong", "deletions": "missing", "insertions": "too many"}


class Line(NamedTuple):
    """A line that is shown: its image (H, W) from 0 to 1, what its frames say, (T, K + 1) probabilities, blank first,
    what stands in it, what is read, how many edits lie between them, and the probability of what is read."""

    image: Array
    probabilities: Array
    truth: str
    guess: str
    edits: int
    confidence: float


def line_pictures(
    title: str, result: Mapping[str, Any], examples: Mapping[str, Tensor], loader: EvalLoader, spec: Spec
) -> Iterator[tuple[str, Figure]]:
    """Names and figures of a run. ``result`` and ``examples`` are a test's results and columns, ``loader`` what it was
    fed."""
    length, edits = (examples[name].numpy() for name in ("characters", "edits"))
    chosen = worst(edits, examples["confidence"].numpy())
    yield "lines", alignments(lines_of(chosen, examples, loader, spec), spec.class_names, title)
    by_kind = {told: {way: of[kind] for way, of in result["edits"].items()} for kind, told in KINDS.items()}
    yield "edits_by_kind", edits_by_kind(by_kind, int(length.sum()), title)
    yield "errors_by_length", errors_by_length(length.astype(int), edits, title)
    yield "reliability", diagrams.reliability(result["bins"]["test"], None, title)


def worst(edits: Array, confidence: Array) -> list[int]:
    """Indices of lines: those that were read wrongly, most confident first, then the right ones, least confident
    first."""
    wrong = edits > 0
    return np.lexsort((np.where(wrong, -confidence, confidence), ~wrong))[:SHOWN].tolist()


def lines_of(chosen: Sequence[int], examples: Mapping[str, Tensor], loader: EvalLoader, spec: Spec) -> list[Line]:
    """What is shown of the chosen lines."""
    images: dict[int, Tensor] = {}
    first = 0
    for inputs, _, _ in loader:
        images |= {i: inputs[i - first].cpu().float() for i in chosen if first <= i < first + len(inputs)}
        first += len(inputs)

    def text(name: str, i: int) -> str:
        return "".join(spec.class_names[k] for k in examples[name][i].tolist() if k >= 0)

    return [
        Line(
            picture(spec.pixels(images[i])),
            examples["log_probs"][i].exp().numpy(),
            text("targets", i),
            text("decoded", i),
            int(examples["edits"][i]),
            examples["confidence"][i].item(),
        )
        for i in chosen
    ]


@styled
def alignments(lines: Sequence[Line], names: Sequence[str], title: str) -> Figure:
    """Each line above the probabilities of its frames, a row an output, and the greedy string below, each character
    where it is read. ``names``: of the K classes."""
    shown = [rows_of(line, len(names)) for line in lines]
    wide = CARD - LEFT - 0.08
    strips = [min(HIGHEST, wide * line.image.shape[0] / line.image.shape[1]) for line in lines]
    heights = [0.19 + strip + ROW * len(rows) + 0.17 + GAP for strip, rows in zip(strips, shown, strict=True)]
    top = sum(heights) + 0.04
    whole = top + 0.2 + TITLE
    figure = Figure(figsize=(CARD, whole))
    told = "truth, image, each frame's probabilities, what is read"
    figure.text(0.5, (top + 0.08) / whole, told, ha="center", fontsize=8, color=GREY)
    for line, rows, strip, height in zip(lines, shown, strips, heights, strict=True):
        _line(figure, line, rows, names, top, strip)
        top -= height
    titled(figure, title)
    return figure


def rows_of(line: Line, classes: int) -> Array:
    """The outputs that a line's map shows, in order: all, or the blank and those with the most of some frame."""
    if classes < ROWS:
        return np.arange(classes + 1)
    most = np.argsort(-line.probabilities[:, 1:].max(0), kind="stable")[: ROWS - 1]
    return np.concatenate([[0], np.sort(most) + 1])


def _line(figure: Figure, line: Line, rows: Array, names: Sequence[str], top: float, strip: float) -> None:
    """Draw one line, whose place begins at ``top``, in inches from below; its image is ``strip`` inches high."""
    frames, wide, high = len(line.probabilities), CARD - LEFT - 0.08, ROW * len(rows)
    whole = figure.get_size_inches()[1]
    said = "right" if line.edits == 0 else f"{line.edits} edit{'s' * (line.edits > 1)}"
    verdict = f"{said}, {line.confidence:.2f}"
    colour = GREEN if line.edits == 0 else VERMILION
    figure.text(LEFT / CARD, (top - 0.14) / whole, fitted(line.truth, wide - 1.05, 9) or "(no character)", fontsize=9)
    figure.text((CARD - 0.08) / CARD, (top - 0.14) / whole, verdict, fontsize=8, color=colour, ha="right")
    image = axes_at(figure, LEFT, top - 0.19 - strip, wide, strip)
    image.imshow(line.image, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    image.set_axis_off()
    axes = axes_at(figure, LEFT, top - 0.19 - strip - high, wide, high)
    shown = line.probabilities[:, rows].T
    extent = (0.0, float(frames), len(rows) - 0.5, -0.5)
    axes.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
    labels = [BLANK if row == 0 else fitted(names[row - 1], LEFT - 0.08, 6.5) for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=6.5)
    axes.tick_params(length=0, pad=2)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(True)
    read = greedy_places(line.probabilities, names)
    size = min(9.0, 88 * wide / max(len(read), 1))  # so that all of them fit side by side
    for x, (_, character) in zip(apart([x for x, _ in read], size * frames / wide / 95), read, strict=True):
        text: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": size, "color": colour}
        axes.annotate(
            fitted(character, 0.15, size), (x, 0), (0, -2), ("data", "axes fraction"), "offset points", **text
        )


def apart(places: Sequence[float], least: float) -> list[float]:
    """The places in ascending order, moved to the right where one is nearer than ``least`` to the one before it."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + least) if found else place)
    return found


def greedy_places(probabilities: Array, names: Sequence[str]) -> list[tuple[float, str]]:
    """Each character of the most probable path, and the middle of the frames that say it, in frames from the left."""
    path = probabilities.argmax(1)
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.append(starts[1:], len(path))
    return [((start + end) / 2, names[path[start] - 1]) for start, end in zip(starts, ends, strict=True) if path[start]]


@styled
def edits_by_kind(counts: Mapping[str, Mapping[str, int]], characters: int, title: str) -> Figure:
    """How many edits of each kind there are: kind -> way of reading -> edits, of so many characters in all.

    A bar is the edits in 100 characters, its number their count. Of one way, no legend is needed.
    """
    ways = list(next(iter(counts.values())))
    high = 0.3 * len(counts) * (0.5 + 0.5 * len(ways))
    legend = 0.22 if len(ways) > 1 else 0.0
    figure = Figure(figsize=(CARD, 0.5 + legend + high + 0.1 + TITLE))
    axes = axes_at(figure, 0.95, 0.5 + legend, CARD - 1.1, high)
    thick = 0.8 / len(ways)
    longest = max(max(of.values()) for of in counts.values()) or 1
    for way, (name, colour) in enumerate(zip(ways, (BLUE, ORANGE), strict=False)):
        values = [of[name] for of in counts.values()]
        places = np.arange(len(counts)) - 0.4 + thick * (way + 0.5)
        axes.barh(
            places, [100 * value / max(characters, 1) for value in values], thick * 0.92, color=colour, label=name
        )
        for y, value in zip(places, values, strict=True):
            axes.annotate(f"{value:,}", (100 * value / max(characters, 1), y), (3, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(counts)), list(counts))
    axes.set(ylim=(len(counts) - 0.5, -0.5), xlim=(0, 118 * longest / max(characters, 1)))
    axes.set_xlabel(f"edits per 100 characters (of {characters:,})")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(False, axis="y")
    if legend:
        figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=2)
    titled(figure, title)
    return figure


@styled
def errors_by_length(length: Array, edits: Array, title: str) -> Figure:
    """Of lines of each length the character error rate, with its 95 % interval over lines, and the share of lines with
    any error. ``length`` (N,) characters, ``edits`` (N,). More than 10 lengths are put together, to groups of lines."""
    figure = Figure(figsize=(CARD, 3.0 + TITLE))
    axes = axes_at(figure, 0.62, 0.72, CARD - 0.76, 2.2)
    groups = lengths(length)
    middle = [float(length[group].mean()) for group in groups]
    rates = [rate(edits[group], length[group]) for group in groups]
    wrong = [100 * float((edits[group] > 0).mean()) for group in groups]
    values, halves = ([100 * pair[i] for pair in rates] for i in (0, 1))
    axes.plot(middle, wrong, color=GREY, marker="s", markersize=3.5, linestyle="--", label="lines with an error")
    axes.errorbar(middle, values, halves, color=BLUE, marker="o", markersize=4, capsize=2, label="characters (CER)")
    axes.set(xlabel="characters of the line", ylabel="wrong (%)", xlim=(middle[0] - 0.5, middle[-1] + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_ylim(0, max(1.0, 1.06 * axes.get_ylim()[1]))
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=2, columnspacing=1, handlelength=1.6)
    titled(figure, title)
    return figure


def lengths(length: Array) -> list[Array]:
    """The indices of the lines of each length, or of about equally many lines of neighbouring ones."""
    found = np.unique(length)
    if len(found) <= GROUPS:
        return [np.flatnonzero(length == one) for one in found]
    ends = np.unique(np.quantile(length, np.linspace(0, 1, GROUPS + 1)[1:], method="higher"))
    number = np.searchsorted(ends, length)
    return [np.flatnonzero(number == k) for k in np.unique(number)]


def rate(edits: Array, length: Array) -> tuple[float, float]:
    """Sum of edits over sum of characters, and half of its 95 % interval over lines (the delta method); NaN without
    any character."""
    if not length.sum():
        return float("nan"), float("nan")
    ratio = float(edits.sum() / length.sum())
    if len(edits) < 2:
        return ratio, float("nan")
    return ratio, float(1.96 * (edits - ratio * length).std(ddof=1) / length.mean() / np.sqrt(len(edits)))
