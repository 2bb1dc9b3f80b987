"""Images of lines, each with the sequence of characters that stands in it."""

import torch
from torch import Tensor

from ..checks import integer
from .base import DataError, Pair, Spec, Targets
from .splits import SplitData


class LineData(SplitData):
    """Grey images of lines, all of one size, and their characters.

    A sub-class gives ``splits``, of which the inputs are (N, 1, H, W) uint8 and the targets are sequences: (N, U)
    classes, -1 behind the end, or, if ``targets`` is "alignment", (N, U, 3) with the place of each class in the image
    (``Spec`` tells more). Pixels are scaled to [0, 1], then standardised by one mean and deviation, those of the spec.

    batch_size: lines a training batch, over all devices. eval_batch_size: lines a batch in validation and test.
    """

    kind = "image"
    targets: Targets = "sequence"
    name: str

    def __init__(self, *, batch_size: int, eval_batch_size: int) -> None:
        self.batch_size = integer("batch_size", batch_size, low=1)
        self.eval_batch_size = integer("eval_batch_size", eval_batch_size, low=1)
        self.device = torch.device("cpu")

    def fill_a_batch(self, lines: int) -> None:
        """Take a smaller batch, and say so, where there are too few training lines for one."""
        if self.batch_size > lines:
            self.batch_size = lines
            self.notes = (*self.notes, f"data.batch_size is {lines}, all that there is to train on")

    def spec_of(self, pixels: Tensor, sequences: list[Tensor], class_names: tuple[str, ...], counts: Tensor) -> Spec:
        """The sizes of data whose training ``pixels`` are these, (N, 1, H, W) uint8. ``sequences``: those of all
        splits, (N, U) each; ``counts``: how often each class is in training."""
        scaled = pixels.double() / 255
        return Spec(
            self.kind,
            tuple(pixels.shape[1:]),
            class_names=class_names,
            class_counts=tuple(counts.tolist()),
            mean=(scaled.mean().item(),),
            std=(max(scaled.std(correction=0).item(), 1e-3),),
            targets=self.targets,
            needed_frames=tuple(torch.bincount(torch.cat([needed_frames(one) for one in sequences])).tolist()),
        )

    def check_sizes(self, spec: Spec) -> None:
        if self.kind != spec.kind:
            raise DataError(f"{self.name} has inputs of the kind {self.kind}, the model reads {spec.kind}")

    def adopt(self, spec: Spec) -> None:
        own = self.spec
        if own.input_shape != spec.input_shape:
            shapes = (" x ".join(map(str, shape)) for shape in (own.input_shape, spec.input_shape))
            raise DataError("{} has images of {}, the model reads {}".format(self.name, *shapes))
        if spec.targets not in ("sequence", "alignment"):
            raise DataError(f"{self.name} has sequences of classes, the model predicts targets of kind {spec.targets}")
        if unknown := [name for name in own.class_names if name not in spec.class_names]:
            raise DataError(f"{self.name} has characters that the model does not know: {', '.join(unknown[:10])}")
        inputs, targets = self.splits["test"]
        places = torch.tensor(
            [spec.class_names.index(name) for name in own.class_names] + [-1]
        )  # the last one is of -1
        targets = targets.clone()
        classes = targets[..., 0] if targets.ndim == 3 else targets
        classes.copy_(places.to(targets.device)[classes])
        self.splits, self.spec = {"test": (inputs, targets)}, spec

    def to(self, device: torch.device) -> None:
        self.device = device
        self.splits = {name: (x.to(device), y.to(device)) for name, (x, y) in self.splits.items()}

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        inputs, targets = self.splits["train"]
        step, own = self.part(number, rank, world)
        rows = self._rows_of_step(seed, step)[own]
        return self.normalise(inputs[rows]), targets[rows]

    def eval_batch(self, split: str, index: int, limit: int | None = None) -> Pair:
        inputs, targets = self.splits[split]
        rows = self._rows_of_batch(split, index, limit)
        return self.normalise(inputs[rows]), targets[rows]

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) uint8 -> ``dtype``, standardised."""
        return images.to(self.dtype).div_(255).sub_(self.spec.mean[0]).div_(self.spec.std[0])


def needed_frames(sequences: Tensor) -> Tensor:
    """(N, U), -1 behind the end -> (N,): the fewest frames in which each can be spelt.

    That is one for each class, and a blank between two equal ones, which would be read as one.
    Source: Graves et al. 2006, Connectionist Temporal Classification, section 3.1.
    """
    there = sequences >= 0
    return there.sum(1) + (there[:, 1:] & (sequences[:, 1:] == sequences[:, :-1])).sum(1)
