"""What a model gets wrong: which classes, which images, which characters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from .style import GREEN, GREY, MONO, PALE, VERMILION, axes_at, fitted, readable, styled, width_of

Array = npt.NDArray[Any]
CONTEXT = 48  # characters shown before the one missed


@styled
def confusion(counts: Array, names: Sequence[str]) -> Figure:
    """Confusion matrix (K, K): rows the truth, columns the prediction, shaded by the share of the row.

    Up to 12 classes the cells show their counts, but for zeros; beyond 25 only every so-manieth class is named.
    """
    counts = np.asarray(counts)
    k = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    named = range(0, k, math.ceil(k / 25))
    labels = [fitted(names[i], 1.2, 8) for i in named]
    size = 8 if k <= 12 else 7
    longest = max(width_of(label, size) for label in labels)
    upright = max(map(len, labels)) * len(labels) > 30
    left, bottom = 0.38 + longest, 0.38 + (longest if upright else 0.12)
    side = min(5.32 - left, 5.5 - bottom)
    figure = Figure(figsize=(6.4, 5.6))
    axes = axes_at(figure, left, bottom, side, side)
    # a root: mistakes of a few per cent are what one looks for
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    beside = axes_at(figure, left + side + 0.2, bottom + 0.1 * side, 0.22, 0.8 * side)
    bar = figure.colorbar(image, beside, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1], label="share of the row")
    bar.ax.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"])
    if k <= 12:
        for row, column in np.argwhere(counts):
            ink = "white" if share[row, column] > 0.35 else "black"
            axes.text(
                column, row, _compact(int(counts[row, column]), k), ha="center", va="center", color=ink, fontsize=8
            )
    axes.set_xticks(named, labels, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(named, labels, fontsize=size)
    axes.set(xlabel="prediction", ylabel="truth")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def _compact(count: int, k: int) -> str:
    """``count`` for a cell of a K x K matrix: whole if there is room, else in thousands or more."""
    if k <= 5 or count < 10_000:
        return str(count)
    power = min((len(str(count)) - 1) // 3, 3)
    return f"{count / 1000**power:.0f}{'kMG'[power - 1]}"


@styled
def image_mistakes(images: Array, truth: Sequence[str], guess: Sequence[str], confidence: Sequence[float]) -> Figure:
    """The given mistakes, images (M, H, W) or (M, H, W, 3) in [0, 1], each under its "truth → guess, confidence":
    in two lines, unless all fit in one."""
    columns, rows = 5, math.ceil(len(images) / 5)
    if not rows:
        return _none("no image was mistaken")
    names = [(fitted(true, 1.0, 7.5), fitted(said, 0.8, 7.5)) for true, said in zip(truth, guess, strict=True)]
    lines = [f"{true} → {said}, {p:.2f}" for (true, said), p in zip(names, confidence, strict=True)]
    short = all(fitted(line, 1.15, 7.5) == line for line in lines)
    scale = 1.16 / max(images.shape[1:3])
    across, down = images.shape[2] * scale / 2, images.shape[1] * scale / 2
    wide, above = 6.2 / columns, 0.2 if short else 0.35
    high = above + 2 * down + 0.04
    height = high * rows + 0.3
    figure = Figure(figsize=(6.2, height))
    figure.suptitle("truth → guess, confidence", fontsize=8, color=GREY, y=1 - 0.05 / height)
    axes = axes_at(figure, 0, 0, 6.2, height)  # in inches: axes for each image would take ten times as long
    axes.set_axis_off()
    for i, (image, line) in enumerate(zip(images, lines, strict=True)):
        row, column = divmod(i, columns)
        x, top = (column + 0.5) * wide, height - 0.28 - row * high
        y = top - above - down
        where = (x - across, x + across, y - down, y + down)
        axes.imshow(np.clip(image, 0, 1), extent=where, cmap="gray", vmin=0, vmax=1, aspect="auto")
        said = line if short else line.replace(" → ", " →\n", 1)
        axes.text(x, y + down + 0.05, said, ha="center", va="bottom", fontsize=7.5)
    axes.set(xlim=(0, 6.2), ylim=(0, height))
    return figure


@styled
def text_mistakes(
    contexts: Sequence[str], missed: Sequence[str], guesses: Sequence[str], confidence: Sequence[float]
) -> Figure:
    """The given mistakes, a line each: the characters before, the character missed, the guess and its confidence."""
    if not contexts:
        return _none("no character was mistaken")
    height = 0.21 * (len(contexts) + 1) + 0.15
    figure = Figure(figsize=(6.2, height))
    axes = axes_at(figure, 0.05, 0.04, 6.1, height - 0.08)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(contexts) + 0.5, -0.6))
    for x, text, side in (
        (0.68, "context", "right"),
        (0.72, "truth", "center"),
        (0.83, "guess", "center"),
        (1, "confidence", "right"),
    ):
        axes.text(x, 0, text, ha=side, va="center", fontsize=8, color=GREY)
    for y, (context, true, said, p) in enumerate(zip(contexts, missed, guesses, confidence, strict=True), 1):
        _line(axes, y, context, true, said, p)
    return figure


def _line(axes: Axes, y: float, context: str, true: str, said: str, p: float) -> None:
    look: dict[str, Any] = {"va": "center", "family": MONO, "fontsize": 9}
    before = readable(("…" if len(context) > CONTEXT else "") + context[-CONTEXT:], MONO)
    words = before.rstrip(" ")
    axes.text(0.68, y, words + "␣" * (len(before) - len(words)), ha="right", **look)
    for x, character, colour in ((0.72, true, GREEN), (0.83, said, VERMILION)):
        box = {"facecolor": "none", "edgecolor": colour, "linewidth": 1, "pad": 1}
        axes.text(x, y, readable(character, MONO), ha="center", weight="bold", bbox=box, **look)
    axes.text(1, y, f"{p:.2f}", ha="right", **look)
    axes.axhline(y + 0.5, color=PALE, linewidth=0.5)


def _none(text: str) -> Figure:
    figure = Figure(figsize=(6.2, 1.0))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure
