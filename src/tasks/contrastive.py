"""Contrastive learning: features of images from two views of each, with or without labels."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.base import Batch
from ..data.views import Views
from ..losses.pairs import PairLoss
from ..metrics.families import CONTRASTIVE
from ..metrics.pairs import pair_scores
from ..metrics.representation import alignment
from ..models.base import Network
from ..models.projected import Projected
from ..plain import Plain
from ..ranks.gather import gathered, own_rows
from .features import FeatureTask
from .stepping import Named, Seen


class ContrastiveTask(FeatureTask):
    """Trains a backbone and a projector by a loss over two views of each image.

    In training the views of all ranks are compared: features are gathered, and projected together, so that BatchNorm in
    the projector standardises by the whole batch. In validation and test an example is compared with those of its
    evaluation batch, whose size is the same for all runs, and views are a function of split and batch.
    """

    model: Any  # a Projected network
    family = CONTRASTIVE
    minimises = PairLoss
    gathers = True
    columns = ("pair_accuracy", "information_bound")

    def __init__(
        self, *, projector: Sequence[int], crop: float | None, flip: bool, jitter: float, grey: float, **parts: Any
    ) -> None:
        """``projector`` is for ``completed``, which comes first."""
        super().__init__(**parts)
        if self.spec.kind != "image":
            raise ValueError(f"views are of images, and the data give {self.spec.kind}")
        self.views = Views(crop=crop, flip=flip, jitter=jitter, grey=grey)

    @classmethod
    def completed(cls, network: Network, settings: Plain) -> Network:
        return Projected(network, settings["projector"])

    def prepare(self, batch: Batch) -> Named:
        """ "first" and "second" (N, C, H, W) are the views; evaluation has the images themselves too, as "inputs"."""
        draw = functools.partial(self.views.draw, batch.inputs, self.spec, batch.chance)
        views = {"first": draw("first view"), "second": draw("second view"), "targets": batch.targets}
        return views if self.training else views | {"inputs": batch.inputs}

    def judge(self, given: Named) -> Seen:
        targets = given["targets"]
        features = self.model.backbone(torch.cat([given["first"], given["second"]]))  # (2n, F)
        if self.training:
            features, classes, rows = of_all_ranks(features), gathered(targets), own_rows()
        else:
            # a rank that only computes along with the others has images without targets
            rows = slice(len(targets))
            classes = F.pad(targets, (0, len(given["first"]) - len(targets)))
        a, b = self.model.projector(features).chunk(2)  # (N, D), (N, D)
        terms = self.loss.terms(a, b, classes, rows)
        accuracy, bound = pair_scores(a.detach(), b.detach(), rows)
        answer = {"targets": targets, "pair_accuracy": accuracy, "information_bound": bound}
        if not self.training:
            answer["alignment"] = alignment(*features.chunk(2))[rows]
        return {**terms, "loss": functools.reduce(torch.add, terms.values())}, answer

    def examine(self, given: Named) -> Seen:
        """The answer has the "features" (N, F) of the images themselves too, and the alignment of their views."""
        terms, answer = self.judge(given)
        return terms, answer | {"features": self.model.backbone(given["inputs"])[: len(given["targets"])]}


def of_all_ranks(features: Tensor) -> Tensor:
    """(2n, F), the first views of this rank and then its second ones -> (2N, F), the same of all ranks."""
    both = features.view(2, len(features) // 2, -1).transpose(0, 1)  # (n, 2, F)
    return gathered(both).transpose(0, 1).flatten(0, 1)
