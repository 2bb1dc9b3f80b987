"""The family of pairs: what a loss of two views of each example is given, and what it must answer."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Loss, upcast

EVERY = slice(None)


class PairLoss(Loss):
    """Loss of two views of each example: ``forward(a (N, D), b (N, D), targets (N,), rows) -> (n,)``.

    Row i of a and of b are the embeddings of the views of example i, not normalised. ``rows`` are the n examples whose
    numbers are wanted, all unless said otherwise: a rank that has some examples of a batch compares them with all of
    it. Classes, ``targets``, matter to losses that say so. An example's number depends on its whole batch, and where a
    loss is one value of the batch, all have that.
    Raises ValueError for embeddings of unlike shapes.
    """

    reads = "features"
    targets = "class"
    soft_targets = False
    batch_statistic = True

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        """What ``terms`` gives, shapes and precision being right."""
        raise NotImplementedError

    def terms(self, a: Tensor, b: Tensor, targets: Tensor | None = None, rows: slice = EVERY) -> dict[str, Tensor]:
        """(N, D), (N, D), (N,) int -> the parts of the loss by name, (n,) each, to be logged apart."""
        if a.ndim != 2 or a.shape != b.shape or (targets is not None and targets.shape != a.shape[:1]):
            got = [tuple(tensor.shape) for tensor in (a, b, targets) if tensor is not None]
            raise ValueError(f"two views must be of one shape (N, D), and classes of (N,), got {got}")
        with torch.autocast(a.device.type, enabled=False):
            return self.of(upcast(a), upcast(b), targets, rows)

    def forward(self, a: Tensor, b: Tensor, targets: Tensor | None = None, rows: slice = EVERY) -> Tensor:
        """(N, D), (N, D), (N,) int -> (n,): one number for each of the wanted examples."""
        return functools.reduce(torch.add, self.terms(a, b, targets, rows).values())


def compared(a: Tensor, b: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """(N, D), (N, D) -> (2n, 2N), (2n, 2N) bool, (2n, 2N) bool: both views of the wanted examples against all views.

    The cosines, which view is the anchor itself, and which is the other view of its example. Views are in the order a,
    then b.
    """
    z = F.normalize(torch.cat([a, b]), dim=-1)  # (2N, D)
    views = torch.arange(len(z), device=z.device)
    anchors = torch.cat([views[: len(a)][rows], views[len(a) :][rows]])  # (2n,)
    cosine = z[anchors] @ z.T
    itself = anchors[:, None] == views
    return cosine, itself, itself.roll(len(a), 1)


def of_other(values: Tensor, other: Tensor) -> Tensor:
    """(2n, 2N), (2n, 2N) bool -> (2n,): each anchor's value for the other view of its example."""
    return values.masked_fill(~other, 0.0).sum(-1)


def per_example(anchors: Tensor) -> Tensor:
    """(2n,) -> (n,): the mean of both views of an example."""
    return anchors.view(2, len(anchors) // 2).mean(0)  # also of no examples


def of_batch(value: Tensor, examples: Tensor, rows: slice) -> Tensor:
    """(), (N, ...) -> (n,): one value of the batch, as the number of each of the wanted examples."""
    return value.expand(len(examples[rows]))
