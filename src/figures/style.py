"""How every figure looks, and how it leaves as PNG, as SVG or as an array."""

import functools
import hashlib
import html
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from PIL import Image

from ..system.files import write_bytes

# Colours that the colour-blind tell apart. Source: Okabe and Ito 2008, "Color Universal Design".
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
INK, GREY, PALE = "#222222", "#777777", "#DDDDDD"
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)

SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"  # come with matplotlib
MARKS = {"\n": "⏎", "\r": "⏎", "\t": "⇥"}

STYLE = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": SANS,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # there to stay: to find out whether ticks are in its way takes a fifth of a figure's time
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "text.parse_math": False,  # a class may be named "$"
}
CARD = 3.5  # inches: the pictures of a run are as wide as TensorBoard's image cards, 350 pixels
TITLE = 0.44  # inches that ``titled`` takes at the top

styled = matplotlib.style.context(STYLE, after_reset=True)  # a decorator: the user's matplotlibrc plays no part


def canvas(width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches, 100 pixels each, that lays out its axes by itself.

    It draws everything twice to find out how large it is, which takes most of the time of a figure: what a run draws
    is placed by ``axes_at``.
    """
    return Figure(figsize=(width, height), layout="constrained")


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """New axes whose frame has this place and size, in inches from the figure's lower left corner."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high))


def titled(figure: Figure, title: str) -> None:
    """Write each line of ``title`` at the top of the figure, cut to its width."""
    width, height = figure.get_size_inches()
    lines = [fitted(line, width - 0.2, 9) for line in title.split("\n")[:2]]
    figure.suptitle("\n".join(lines), y=1 - 0.06 / height, fontsize=9)


@styled
def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """The figure as RGB, (H, W, 3) uint8."""
    agg = FigureCanvasAgg(figure)
    agg.draw()  # type: ignore[no-untyped-call]
    figure.set_layout_engine("none")  # the layout would start from its last result and move everything a little
    return np.array(agg.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def save(figure: Figure, path: Path) -> bytes:
    """Write the figure to ``path`` as PNG, whole or not at all; the same figure gives the same bytes, which it returns.

    Raises OSError (full disk, no such folder).
    """
    png = io.BytesIO()
    # as small as the default makes such pictures, in half of the time
    Image.fromarray(pixels(figure)).save(png, "PNG", compress_level=1)
    write_bytes(path, png.getvalue())
    return png.getvalue()


def sharp(figure: Figure) -> Figure:
    """The figure with twice as many pixels, for a page that scales it."""
    figure.set_dpi(200)
    return figure


@functools.cache
def _glyphs(family: str) -> frozenset[int]:
    return frozenset(get_font(findfont(family)).get_charmap())


def readable(text: str, family: str = SANS) -> str:
    """``text`` on one line: ⏎ and ⇥ for breaks and tabs, ␣ for a space alone, � for what the font cannot show."""
    known = _glyphs(family)
    if text == " ":
        return "␣"
    return "".join(MARKS.get(c, c if c.isprintable() and ord(c) in known else "�") for c in text)


def width_of(text: str, size: float) -> float:
    """How many inches wide ``text`` is drawn in letters of ``size`` points."""
    # the renderer's own measure, since hinting makes letters up to an eighth wider than the font says
    return _measure()(text, FontProperties(family=SANS, size=size), ismath=False)[0] / 100


@functools.cache
def _measure() -> Callable[..., Any]:
    return RendererAgg(1, 1, 100).get_text_width_height_descent  # type: ignore[no-untyped-call]


def fitted(text: str, width: float, size: float) -> str:
    """``text``, readable, its middle left out where it is wider than ``width`` inches in letters of ``size`` points."""
    shown = text = readable(text)
    keep = len(text)
    while keep and (wide := width_of(shown, size)) > width:
        keep = min(keep - 1, int(len(shown) * width / wide))
        shown = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
    return shown


def numbers(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """A list out of JSON as float64, its nulls as nan."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


# What follows the page that an SVG lies in: the text's colour, and its paper.
INLINE = {
    f": {INK}": ": currentColor",
    f": {BLUE.lower()}": f": var(--blue, {BLUE})",
    f": {GREY}": f": var(--grey, {GREY})",
    ": #e8e8e8": ": currentColor; stroke-opacity: 0.12",
    ": #dddddd": ": currentColor; stroke-opacity: 0.2",
    ": #ffffff": ": var(--paper, Canvas)",
}


@styled
def svg(figure: Figure, text: str) -> str:
    """The figure as an SVG element for inside of a page, with letters that are letters; ``text`` says what it shows.

    Ink is the page's currentColor, and white its ``--paper``, so that it can be read on dark as on light. It is as wide
    as CSS makes it. The same figure and text give the same element. Names in it are escaped.
    """
    file = io.StringIO()
    salt = hashlib.sha256(text.encode()).hexdigest()  # two figures of a page have no id in common
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    found = file.getvalue()
    found = found[found.index("<svg") :]
    found = re.sub(r'<g id="[^"]*"', "<g", found)  # every figure has a figure_1
    for colour, own in INLINE.items():
        found = found.replace(colour, own)
    found = re.sub(r"'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif", found)
    found = re.sub(r"<style.*?</style>", "", found, flags=re.DOTALL)  # it would hold for the whole page
    opened = re.sub(r' (?:width|height|version)="[^"]*"', "", found[: found.index(">")])
    label = f' stroke-linejoin="round" role="img" aria-label="{html.escape(text)}"'
    return f"{opened}{label}{found[found.index('>') :]}"
