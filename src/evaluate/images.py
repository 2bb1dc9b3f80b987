"""Classes and probabilities of image files."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config.errors import UserError
from ..data import decoding
from ..data.content import opened
from ..data.listing import images_in
from ..metrics.temperature import scaled
from ..report import escape
from ..runs.trained import Trained
from .table import Table, calibration


def classify(place: Path, run: Trained, batch: int) -> Table:
    """A row for each image below ``place``: file, class, confidence and each class's probability; or its scores.

    Images become what ``data=image_folder`` makes of them, in the run's size, and grey where the run reads grey.
    Raises UserError and DataError.
    """
    spec, temperature = run.spec, run.temperature
    channels, height, width = spec.input_shape
    if channels not in (1, 3):
        raise UserError(f"predict= reads grey and colour images, and this run reads images of {channels} channels")
    files, notes = images_in(place)
    found, resized = answers(files, run, (channels, height, width), batch)
    if resized:
        notes.append(f"{resized:,} of {len(files):,} images have another size and were resized to {width} x {height}")
    names = [named(path, place) for path in files]
    best = found.argmax(-1).tolist()
    classes = [escape.cell(spec.class_names[k]) for k in best]
    count = f"{len(files):,} {'image' if len(files) == 1 else 'images'}"
    if not run.linked:
        header = ("file", "class", *(f"score({escape.line(name)})" for name in spec.class_names))
        rows = [(name, k, *scores) for name, k, scores in zip(names, classes, found.tolist(), strict=True)]
        says = [f"{count}; this run's loss gives scores that are no probabilities"]
        return Table(header, rows, 2, says, notes)
    p = (found.double() if temperature is None else scaled(found, temperature)).exp()
    header = ("file", "class", "confidence", "temperature", *(f"p({escape.line(name)})" for name in spec.class_names))
    rows = [
        (name, k, max(values), temperature, *values) for name, k, values in zip(names, classes, p.tolist(), strict=True)
    ]
    return Table(header, rows, 3, [f"{count}; the probabilities are {calibration(temperature)}"], notes)


def answers(files: list[str], run: Trained, shape: decoding.Shape, batch: int) -> tuple[Tensor, int]:
    """(N, K) log-probabilities or scores of N files, and how many had another size. Raises DataError."""
    found, resized = [], 0

    def pixels(path: str) -> tuple[np.ndarray, bool]:
        with opened(path) as file:
            try:
                rgb = decoding.read(file)
                return decoding.fitted(rgb, shape), rgb.size != (shape[2], shape[1])
            except Exception as error:  # a damaged file makes Pillow raise anything
                raise decoding.unusable(path, error) from None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), batch):
            arrays, odd = zip(*pool.map(pixels, files[start : start + batch]), strict=True)
            resized += sum(odd)
            stacked = torch.from_numpy(np.stack(arrays))
            found.append(run.log_probs(stacked, batch_size=batch) if run.linked else run(stacked.to(run.mean.device)))
    return torch.cat(found).cpu(), resized


def named(path: str, place: Path) -> str:
    """A file's name, from the folder on. It begins as a path where a spreadsheet would take it for a formula."""
    name = os.path.relpath(path, place) if place.is_dir() else os.path.basename(path)  # noqa: PTH119
    text = os.fsencode(name).decode(errors="backslashreplace")
    return text if escape.cell(text) == escape.line(text) else f"./{text}"
