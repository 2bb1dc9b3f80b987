"""What a model gets wrong: which classes, which images, which characters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from .style import CARD, GREEN, GREY, MONO, PALE, TITLE, VERMILION, axes_at, fitted, readable, styled, titled, width_of

Array = npt.NDArray[Any]
CONTEXT = 22  # characters shown before the one missed
CONTEXT_END, TRUTH, GUESS, CONFIDENCE_END = 1.92, 2.12, 2.52, 3.42  # inches from the left, in ``text_mistakes``


@styled
def confusion(counts: Array, names: Sequence[str], title: str) -> Figure:
    """Confusion matrix (K, K): rows the truth, columns the prediction, shaded by the share of the row.

    Up to 10 classes the cells show their counts, but for zeros; beyond 16 only every so-manieth class is named.
    """
    counts = np.asarray(counts)
    k = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    named = range(0, k, math.ceil(k / 16))
    labels = [fitted(names[i], 0.8, 8) for i in named]
    longest = max(width_of(label, 8) for label in labels)
    left = 0.38 + longest
    side = CARD - 0.12 - left
    upright = longest + 0.06 > side / k * named.step
    bottom = 0.94 + (longest if upright else 0.12)
    figure = Figure(figsize=(CARD, bottom + side + 0.08 + TITLE))
    axes = axes_at(figure, left, bottom, side, side)
    # a root: mistakes of a few per cent are what one looks for
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    below = axes_at(figure, 0.3, 0.44, CARD - 0.6, 0.1)
    ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
    bar = figure.colorbar(image, below, orientation="horizontal", ticks=ticks, label="share of the row")
    bar.ax.set_xticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"])
    if k <= 10:
        for row, column in np.argwhere(counts):
            ink = "white" if share[row, column] > 0.35 else "black"
            text = _compact(int(counts[row, column]), side / k)
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(named, labels, rotation=90 if upright else 0)
    axes.set_yticks(named, labels)
    axes.set(xlabel="prediction", ylabel="truth")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    titled(figure, title)
    return figure


def _compact(count: int, width: float) -> str:
    """``count`` for a cell ``width`` inches wide: whole if there is room, else in thousands or more, else nothing."""
    texts = [str(count), *(f"{count / 1000**i:.0f}{unit}" for i, unit in enumerate("kMG", 1) if count > 0.95 * 1000**i)]
    return next((text for text in texts if width_of(text, 8) <= width), "")


@styled
def image_mistakes(
    images: Array, truth: Sequence[str], guess: Sequence[str], confidence: Sequence[float], title: str
) -> Figure:
    """The given mistakes, images (M, H, W) or (M, H, W, 3) in [0, 1], each under its "truth → guess, confidence":
    in two lines, unless all fit in one."""
    columns, rows = 3, math.ceil(len(images) / 3)
    if not rows:
        return _none("no image was mistaken", title)
    names = [(fitted(true, 0.9, 8), fitted(said, 0.7, 8)) for true, said in zip(truth, guess, strict=True)]
    lines = [f"{true} → {said}, {p:.2f}" for (true, said), p in zip(names, confidence, strict=True)]
    short = all(fitted(line, 1.1, 8) == line for line in lines)
    scale = 1.08 / max(images.shape[1:3])
    across, down = images.shape[2] * scale / 2, images.shape[1] * scale / 2
    wide, above = CARD / columns, 0.22 if short else 0.36
    high = above + 2 * down + 0.04
    height = high * rows + 0.2 + TITLE
    figure = Figure(figsize=(CARD, height))
    titled(figure, title)
    axes = axes_at(figure, 0, 0, CARD, height)  # in inches: axes for each image would take ten times as long
    axes.set_axis_off()
    axes.text(CARD / 2, height - TITLE, "truth → guess, confidence", ha="center", va="top", fontsize=8, color=GREY)
    for i, (image, line) in enumerate(zip(images, lines, strict=True)):
        row, column = divmod(i, columns)
        x, top = (column + 0.5) * wide, height - TITLE - 0.18 - row * high
        y = top - above - down
        where = (x - across, x + across, y - down, y + down)
        axes.imshow(np.clip(image, 0, 1), extent=where, cmap="gray", vmin=0, vmax=1, aspect="auto")
        said = line if short else line.replace(" → ", " →\n", 1)
        axes.text(x, y + down + 0.05, said, ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(0, CARD), ylim=(0, height))
    return figure


@styled
def text_mistakes(
    contexts: Sequence[str], missed: Sequence[str], guesses: Sequence[str], confidence: Sequence[float], title: str
) -> Figure:
    """The given mistakes, a line each: the characters before, the character missed, the guess and its confidence."""
    if not contexts:
        return _none("no character was mistaken", title)
    height = 0.21 * (len(contexts) + 1) + 0.15
    figure = Figure(figsize=(CARD, height + TITLE))
    titled(figure, title)
    axes = axes_at(figure, 0.05, 0.04, CARD - 0.1, height - 0.08)
    axes.set_axis_off()
    axes.set(xlim=(0.05, CARD - 0.05), ylim=(len(contexts) + 0.5, -0.6))
    for x, text, side in (
        (CONTEXT_END, "context", "right"),
        (TRUTH, "truth", "center"),
        (GUESS, "guess", "center"),
        (CONFIDENCE_END, "confidence", "right"),
    ):
        axes.text(x, 0, text, ha=side, va="center", fontsize=8, color=GREY)
    for y, (context, true, said, p) in enumerate(zip(contexts, missed, guesses, confidence, strict=True), 1):
        _line(axes, y, context, true, said, p)
    return figure


def _line(axes: Axes, y: float, context: str, true: str, said: str, p: float) -> None:
    look: dict[str, Any] = {"va": "center", "family": MONO, "fontsize": 9}
    before = readable(("…" if len(context) > CONTEXT else "") + context[-CONTEXT:], MONO)
    words = before.rstrip(" ")
    axes.text(CONTEXT_END, y, words + "␣" * (len(before) - len(words)), ha="right", **look)
    for x, character, colour in ((TRUTH, true, GREEN), (GUESS, said, VERMILION)):
        box = {"facecolor": "none", "edgecolor": colour, "linewidth": 1, "pad": 1}
        axes.text(x, y, readable(character, MONO), ha="center", weight="bold", bbox=box, **look)
    axes.text(CONFIDENCE_END, y, f"{p:.2f}", ha="right", **look)
    axes.axhline(y + 0.5, color=PALE, linewidth=0.5)


def _none(text: str, title: str) -> Figure:
    figure = Figure(figsize=(CARD, 1.2))
    titled(figure, title)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure
