"""What is measured of features, whatever they were learnt by: what can be read in them, and how they lie."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..checks import integer
from ..data.base import Batch, DataError, EvalLoader, generator
from ..figures import representation
from ..figures.diagrams import reliability
from ..figures.pictures import fed, picture
from ..metrics.calibration import bin_table, ece
from ..metrics.judged import judge
from ..metrics.neighbours import classified, nearest
from ..metrics.probe import Probe, chosen, few, probe_of
from ..metrics.representation import RepresentationSums, effective_rank, singular_values, uniformity
from ..metrics.sums import Measure, Sums
from ..plain import Plain
from .base import Task, joined
from .calibration import bins, class_accuracy, interval
from .stepping import Named

PROBES = ("probe", "probe10")
SHOWN, NEAREST = 10, 7  # images of which the neighbours are drawn, and neighbours of each
PAIRED = 1000  # images of which all pairs are drawn
MOST_PIXELS = 4096  # of an image, for a probe on raw pixels: its cost grows with them


class Pixels(nn.Module):
    """An image as it is, in place of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Flatten()


class FeatureTask(Task):
    """A task of which the features of its network's backbone are judged, frozen, on images that nothing has changed.

    probe: accuracy of a linear classifier of the features, and nll, brier and ece of its probabilities. It is fitted to
    at most ``probe_examples`` training images, by logistic regression with the L2 penalty that is best on the
    validation split. probe10: the same with 10 labels a class, which are the same for all runs. knn: accuracy of the
    vote of the 20 nearest of those training images; in a validation, of the 20 nearest other validation images.
    alignment, uniformity and effective_rank (metrics/representation.py) tell how the features lie. ``adjusted`` are
    both probes.
    """

    model: Any  # a Projected network
    adjusts = True

    def __init__(self, *, probe_examples: int, **parts: Any) -> None:
        self.learns = integer("probe_examples", probe_examples, low=1)
        super().__init__(**parts)
        self.val_scores = RepresentationSums(self._means(whole=True), self.derived, self.spec.num_classes)
        small = math.prod(self.spec.input_shape) <= MOST_PIXELS
        self.floors = (*(("raw pixels",) if small else ()), "random weights")

    def measure(self, *, whole: bool) -> Measure:
        return Sums(self._means(whole=whole), self.derived)

    def _means(self, *, whole: bool) -> tuple[str, ...]:
        return ("loss", *self.loss.parts, *self.columns, *(("alignment",) if whole else ()))

    def score(self, measure: Any, terms: Named, answer: Named, batches: int = 1) -> None:
        measure.update(terms | answer, batches)

    def predict_step(self, batch: Batch, batch_idx: int) -> Named:
        """Features (N, F) and targets (N,), from which a probe learns."""
        return {"features": self.model.backbone(batch.inputs)[: len(batch.targets)], "targets": batch.targets}

    def learn(self, answers: Iterator[Named]) -> None:
        self.learnt = joined(list(answers))

    def floor(self, name: str) -> nn.Module:
        return Pixels() if name == "raw pixels" else self.model

    def adjust(self, answers: Iterator[Named]) -> list[str]:
        val, classes = joined(list(answers)), self.spec.num_classes
        features, targets = self.learnt["features"], self.learnt["targets"]
        some = few(targets, generator("probe"))
        for name, rows in (("probe", slice(None)), ("probe10", some)):
            found = chosen(features[rows], targets[rows], val["features"], val["targets"], classes)
            self.adjusted = (self.adjusted or {}) | {name: found.plain()}
        return []

    def adjustment(self) -> str:
        return (
            ""
            if self.adjusted is None
            else "linear probes with the penalties " + ", ".join(f"{probe.l2:g}" for probe in self._probes().values())
        )

    def _probes(self) -> dict[str, Probe]:
        """Raises DataError for what a folder may have in their place."""
        if self.adjusted is None:
            return {}
        try:
            return {name: probe_of(self.adjusted[name]) for name in PROBES}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"what the run was adjusted to is damaged: {error}") from error

    def examples(self, answer: Named) -> Named:
        """Targets and features; a column for each metric that is a mean over examples, (N,); of the probe its guess,
        confidence and log_probs (N, K) too."""
        features, targets = answer["features"], answer["targets"]
        columns = {name: answer[name].double() for name in (*self.columns, "alignment") if name in answer}
        columns |= {"targets": targets, "features": features}
        for name, probe in self._probes().items():
            log_probs = probe.log_probs(features)
            of = judge(log_probs, targets)
            columns[name] = of.right
            if name == "probe":
                columns |= {"guess": of.guess, "nll": of.nll, "brier": of.brier, "confidence": of.confidence}
                columns["log_probs"] = log_probs
        if self.learnt:
            bank, classes = (self.learnt[name].to(features.device) for name in ("features", "targets"))
            guess = classified(features, bank, classes, self.spec.num_classes)
            columns["knn"] = (guess == targets).double()
        return columns

    def conclude(self, examples: Named) -> Plain:
        features, targets = examples["features"], examples["targets"]
        metrics = {"uniformity": uniformity(features), "effective_rank": effective_rank(singular_values(features))}
        means = ("probe", "probe10", "knn", "nll", "brier", "confidence")
        metrics |= {name: examples[name].mean().item() for name in means if name in examples}
        confidence, right = examples["confidence"], examples["probe"]
        metrics["ece"] = ece(bin_table(confidence, right)).item()
        by_class = class_accuracy(targets, right > 0, self.spec.num_classes)
        classes = self.spec.num_classes
        chance = dict.fromkeys(("probe", "probe10", "knn"), 1 / classes)
        return {
            "metrics": metrics,
            "intervals": {"ece": interval(confidence, right, 1)},
            "bins": {"test": bins(confidence, right)},
            "class_accuracy": dict(zip(self.spec.class_names, by_class, strict=True)),
            "floors": {"chance": chance | {"nll": math.log(classes), "brier": 1 - 1 / classes}},
        }

    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        features, targets = examples["features"].double(), examples["targets"]
        some = slice(None, None, -(-len(features) // PAIRED))
        yield "cosines", representation.cosines(pairs_of(features[some], targets[some], examples["alignment"]), title)
        singular = singular_values(features)
        yield (
            "singular_values",
            representation.spectrum(singular.numpy(), result["metrics"]["test"]["effective_rank"], title),
        )
        yield "neighbours", self._neighbours(features, targets, loader, title)
        if min(features.shape) > 1:
            unit = normalize(features, dim=-1)
            u, spread, _ = torch.linalg.svd(unit - unit.mean(0), full_matrices=False)
            share = (spread[:2].square() / spread.square().sum().clamp_min(1e-300)).tolist()
            points, classes = (u[:, :2] * spread[:2]).numpy(), targets.numpy()
            yield "features", representation.plane(points, share, classes, self.spec.class_names, title)
        yield "reliability", reliability(result["bins"]["test"], None, title)

    def _neighbours(self, features: Tensor, targets: Tensor, loader: EvalLoader, title: str) -> Figure:
        """The first test image of each of ten classes, and its nearest among the others."""
        chosen = [int((targets == k).nonzero()[0]) for k in torch.unique(targets)[:SHOWN]]
        _, near = nearest(features[chosen], features, NEAREST + 1)
        rows = [[i, *[j for j in row if j != i][:NEAREST]] for i, row in zip(chosen, near.tolist(), strict=True)]
        inputs = fed(loader, [i for row in rows for i in row])
        images = torch.stack([torch.stack([inputs[i][0].float() for i in row]) for row in rows])  # (R, images, C, H, W)
        same = targets[torch.tensor(rows)] == targets[torch.tensor(chosen)][:, None]
        below = ["test images, each before its nearest by cosine"]
        return representation.neighbours(picture(self.spec.pixels(images)), same[:, 1:].numpy(), below, title)


def pairs_of(features: Tensor, targets: Tensor, aligned: Tensor) -> dict[str, Any]:
    """Cosines by what is paired: two views of an image, by their squared distance (M,); and of features (N, D), two
    images of one class, and of two."""
    unit = normalize(features, dim=-1)
    cosine = unit @ unit.T
    above = torch.ones_like(cosine, dtype=torch.bool).triu(1)
    same = targets[:, None] == targets
    return {
        "two views of one image": (1 - aligned / 2).numpy(),
        "two images of one class": cosine[above & same].numpy(),
        "two images of two classes": cosine[above & ~same].numpy(),
    }
