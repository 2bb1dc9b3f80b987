"""The pictures of a finished run, drawn from what its test found."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import EvalLoader, Spec
from ..plain import Plain
from . import diagrams, mistakes
from .grids import Array

Examples = dict[str, Tensor]
MOST_CLASSES = 100  # that a confusion matrix shows


def pictures(
    title: str, result: Plain, examples: Examples, loader: EvalLoader, spec: Spec
) -> Iterator[tuple[str, Figure]]:
    """Names and figures, each under ``title``, of up to two lines.

    ``result`` and ``examples`` are a test's results and columns, ``loader`` what it was fed.
    """
    targets, guess = examples["targets"], examples["guess"]
    if spec.num_classes <= MOST_CLASSES:
        cells = torch.bincount(targets * spec.num_classes + guess, minlength=spec.num_classes**2)
        yield "confusion", mistakes.confusion(cells.view(spec.num_classes, -1).numpy(), spec.class_names, title)
    if "confidence" not in examples:
        return
    bins, temperature = result["bins"], result["metrics"]["test"]["temperature"]
    yield "reliability", diagrams.reliability(bins["test"], bins["test_ts"], title, temperature)
    right = (guess == targets).numpy()
    yield "confidence", diagrams.confidence_histogram(examples["confidence"].numpy(), right, title)
    if spec.kind == "text":
        yield "nll_by_position", nll_by_position(examples["nll"], spec.input_shape[0], title)
        yield "mistakes", text_mistakes(examples, loader, spec, title)
    else:
        yield "mistakes", image_mistakes(examples, loader, spec, title)


def worst(examples: Examples, most: int) -> list[int]:
    """The wrong examples, most confident first."""
    wrong = (examples["guess"] != examples["targets"]).nonzero().flatten()
    return wrong[examples["confidence"][wrong].argsort(descending=True, stable=True)][:most].tolist()


def fed(loader: EvalLoader, chosen: list[int]) -> dict[int, tuple[Tensor, int]]:
    """Of each chosen example its input, an image or a window of text, and its place in the window (images: 0)."""
    found, first = {}, 0
    for inputs, targets, _ in loader:
        places = targets.numel() // len(targets)
        for example in chosen:
            if first <= example < first + targets.numel():
                row, place = divmod(example - first, places)
                found[example] = inputs[row].cpu(), place
        first += targets.numel()
    return found


def picture(pixels: Tensor) -> Array:
    """(..., C, H, W) from 0 to 1, or beyond -> (..., H, W) or, in colour, (..., H, W, 3), from 0 to 1."""
    shown = pixels.clamp(0, 1).movedim(-3, -1).float().cpu()
    return (shown[..., 0] if shown.shape[-1] == 1 else shown).numpy()


def image_mistakes(examples: Examples, loader: EvalLoader, spec: Spec, title: str) -> Figure:
    chosen = worst(examples, 18)
    inputs = fed(loader, chosen)
    images = [picture(spec.pixels(inputs[i][0].float())) for i in chosen]
    return mistakes.image_mistakes(np.array(images), *labels(examples, chosen, spec), title)


def text_mistakes(examples: Examples, loader: EvalLoader, spec: Spec, title: str) -> Figure:
    chosen = worst(examples, 20)
    inputs = fed(loader, chosen)
    windows = (inputs[i] for i in chosen)
    contexts = ["".join(spec.class_names[k] for k in window[: place + 1].tolist()) for window, place in windows]
    return mistakes.text_mistakes(contexts, *labels(examples, chosen, spec), title)


def labels(examples: Examples, chosen: list[int], spec: Spec) -> tuple[list[str], list[str], list[float]]:
    """Truth, guess and confidence of the chosen examples."""
    truth, guess = ([spec.class_names[k] for k in examples[name][chosen].tolist()] for name in ("targets", "guess"))
    return truth, guess, examples["confidence"][chosen].tolist()


def nll_by_position(nll: Tensor, block: int, title: str) -> Figure:
    """Over the whole windows; a shorter one at the end of the text is left out."""
    windows = nll[: len(nll) // block * block].view(-1, block)
    error = windows.std(0) / len(windows) ** 0.5 if len(windows) > 1 else torch.zeros(block)
    return diagrams.nll_by_position(windows.mean(0).numpy(), error.numpy(), title)
