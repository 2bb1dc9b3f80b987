"""Which captions images find: the similarities of some pairs, and the first captions of some strips."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import EvalLoader, Spec
from ..plain import Plain
from .diagrams import reliability
from .pictures import Examples, fed, picture, worst
from .style import BLUE, CARD, GREY, INK, TITLE, VERMILION, axes_at, fitted, styled, titled

Array = npt.NDArray[Any]
SHOWN = 10  # pairs of the similarity matrix, and images whose captions are shown
FIRST = 3  # captions of each, and the right one


def pictures(
    title: str, result: Plain, examples: Examples, loader: EvalLoader, spec: Spec, texts: Tensor, scale: float
) -> Iterator[tuple[str, Figure]]:
    """Similarities of ten pairs, the first captions of images, and how right their probabilities are.

    ``texts`` (K, D) are the embeddings of all captions; the softmax is of ``scale`` times the cosine.
    """
    targets, embedding, names = examples["targets"], examples["embedding"], spec.class_names
    seen = torch.tensor(spec.class_counts) > 0
    chosen = some_pairs(targets, seen)
    captions, cosine = targets[chosen], embedding[chosen] @ texts[targets[chosen]].T
    of_pairs = [names[k] for k in captions.tolist()]
    yield (
        "similarity",
        similarity(shown(loader, chosen, spec), of_pairs, seen[captions].tolist(), cosine.numpy(), title),
    )
    below = "the first captions and their probability; the right one is blue"
    for name, some in (("captions", chosen), ("mistakes", worst(examples, SHOWN))):
        if some:
            truth = targets[some].tolist()
            p = (scale * embedding[some] @ texts.T).softmax(-1)
            first = p.topk(min(FIRST, len(texts))).indices.tolist()
            found = [
                [(names[k], row[k].item()) for k in dict.fromkeys([*best, right])]
                for row, best, right in zip(p, first, truth, strict=True)
            ]
            yield name, first_captions(shown(loader, some, spec), [names[k] for k in truth], found, title, below)
    yield "reliability", reliability(result["bins"]["test"], None, title)


def some_pairs(targets: Tensor, seen: Tensor) -> list[int]:
    """The first examples of ten captions, half of them unseen if there are such; those stand at the end."""
    first: dict[int, int] = {}
    for example, caption in enumerate(targets.tolist()):
        first.setdefault(caption, example)
    known, new = ([i for k, i in first.items() if seen[k] == which] for which in (True, False))
    half = min(len(new), max(SHOWN // 2, SHOWN - len(known)))
    return [*known[: SHOWN - half], *new[:half]]


def shown(loader: EvalLoader, chosen: list[int], spec: Spec) -> Array:
    """The test images of these numbers, (M, H, W) or in colour (M, H, W, 3), from 0 to 1."""
    found = fed(loader, chosen)
    return picture(spec.pixels(torch.stack([found[example][0].float() for example in chosen])))


@styled
def similarity(images: Array, captions: Sequence[str], seen: Sequence[bool], cosine: Array, title: str) -> Figure:
    """Images (M, H, W) or (M, H, W, 3) from 0 to 1, their captions, and the cosine (M, M) of image, a row, and caption.

    A caption that no training image has is orange. The pairs are on the diagonal.
    """
    shown, left, above, below = len(images), 0.86, 0.2, 1.2
    cell = (CARD - left - 0.08) / shown
    side, height = cell * shown, cell * shown + above + below + TITLE
    figure = Figure(figsize=(CARD, height))
    titled(figure, title)
    axes = axes_at(figure, left, below, side, side)
    axes.imshow(cosine, cmap="Blues", vmin=min(0.0, float(cosine.min())), vmax=1, aspect="auto")
    for i, j in np.ndindex(*cosine.shape):
        value = cosine[i, j]
        text = f"{value:.1f}".replace("0.", ".").replace("-.0", ".0")
        axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if value > 0.6 else INK)
    axes.set_xticks(range(shown), [fitted(caption, below - 0.3, 7) for caption in captions], rotation=90, fontsize=7)
    for label, known in zip(axes.get_xticklabels(), seen, strict=True):
        label.set_color(INK if known else VERMILION)
    axes.set_yticks([])
    axes.grid(False)
    strips = axes_at(figure, 0.06, below, left - 0.12, side)
    gap = np.ones((len(images), round(images.shape[1] * 0.12), *images.shape[2:]))
    stacked = np.concatenate([gap, images, gap], 1).reshape(-1, *images.shape[2:])
    strips.imshow(stacked, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    strips.set_axis_off()
    figure.text(left / CARD, (below + side + 0.05) / height, "cosine of image and caption", fontsize=8, color=GREY)
    note = "orange: no training image has this caption" if not all(seen) else ""
    figure.text(0.5, 0.06 / height, note, ha="center", fontsize=8, color=VERMILION)
    return figure


@styled
def first_captions(
    images: Array, truth: Sequence[str], found: Sequence[Sequence[tuple[str, float]]], title: str, below: str
) -> Figure:
    """Images (M, H, W) or (M, H, W, 3) from 0 to 1; the caption of each, and those that it finds first, with their
    probability, the last of which may be the right one out of its place."""
    line, wide = 0.15, 1.25
    high = max(wide * images.shape[1] / images.shape[2], line * max(map(len, found))) + 0.1
    height = high * len(images) + 0.24 + TITLE
    figure = Figure(figsize=(CARD, height))
    titled(figure, title)
    axes = axes_at(figure, 0, 0, CARD, height)  # in inches: axes for each image would take ten times as long
    axes.set_axis_off()
    for i, (image, right, answers) in enumerate(zip(images, truth, found, strict=True)):
        middle = height - TITLE - high * (i + 0.5)
        down = wide * image.shape[0] / image.shape[1] / 2
        where = (0.08, 0.08 + wide, middle - down, middle + down)
        axes.imshow(image, extent=where, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for k, (caption, p) in enumerate(answers):
            y = middle + line * ((len(answers) - 1) / 2 - k)
            look: dict[str, Any] = {"color": BLUE, "weight": "bold"} if caption == right else {"color": INK}
            axes.text(wide + 0.5, y, f"{p:.2f}", ha="right", va="center", fontsize=8, color=look["color"])
            axes.text(wide + 0.58, y, fitted(caption, CARD - wide - 0.68, 8), va="center", fontsize=8, **look)
    axes.text(CARD / 2, 0.1, below, ha="center", va="center", fontsize=8, color=GREY)
    axes.set(xlim=(0, CARD), ylim=(0, height))
    return figure
