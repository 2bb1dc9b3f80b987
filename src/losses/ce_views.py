"""Cross-entropy on two views of each image."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from ..checks import integer
from .pairs import PairLoss


class CrossEntropyOfViewsLoss(PairLoss):
    """Cross-entropy of views: -log softmax(z)_y, the mean over both; z are the first K numbers of a view's projection.

    At uniform softmax: ln K. It learns from labels what other losses of pairs learn without, from the same views, by
    the same network, judged by the same probe: a ceiling for them.
    Use it to see what the labels are worth. Limits: no view is compared with another.
    Source: Chen et al. 2020, arXiv:2002.05709, table 1, the supervised row.
    """

    batch_statistic = False

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = integer("num_classes", num_classes, low=2)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        if targets is None:
            raise ValueError("ce_views learns from classes, and none were given")
        if a.shape[1] < self.num_classes:
            raise ValueError(
                f"the projection has {a.shape[1]} numbers, too few for the logits of {self.num_classes} classes: end"
                " task.projector with more"
            )
        views = [cross_entropy(z[rows, : self.num_classes], targets[rows], reduction="none") for z in (a, b)]
        return {"loss": (views[0] + views[1]) / 2}
