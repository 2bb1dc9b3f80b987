"""Tasks whose networks make images, which a judge compares with real ones."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..data.base import Batch, EvalLoader, generator
from ..figures.made import beside
from ..metrics.families import PAIRS, REAL
from ..metrics.generated import (
    class_divergence,
    coverage,
    frechet_distance,
    kernel_gaps,
    memorised,
    nearest,
    precision,
    radii,
)
from ..metrics.sums import Sums
from ..plain import Plain
from .base import joined
from .generating import GeneratingTask
from .judge import Judge
from .stepping import Named

KNOWN = 60_000  # training images, at most, among which a made one is looked for
SHOWN, NEAREST = 8, 3  # made images that are drawn beside their nearest training images, and how many of these


class JudgedTask(GeneratingTask):
    """A task whose network's images are compared with real ones, if it has a judge, by the features of that judge.

    In the test an image is made beside each of the real ones, or beside one of every ``apart``, of latents that are a
    function of split and batch, the same for all runs. Then all of these are compared at once: metrics/generated.py
    tells how. "real images" are a floor: as many training images, drawn at random, in the place of made ones; memorised
    is there that of the real test images. If ``follows``, a validation has the same columns, each batch compared by
    itself. A task adds what ``examples``, ``conclude`` and ``pictures`` give here to its own.
    """

    follows: ClassVar[bool] = False
    apart: ClassVar[int] = 1

    def __init__(self, *, judge: Judge | None = None, **parts: Any) -> None:
        super().__init__(**parts)
        self._unregistered = [judge]  # in a list, so that it is no sub-module
        if judge and self.follows:
            scores: Any = self.val_scores
            self.val_scores = Sums((*scores.names, *PAIRS), self.derived)
        self.learns = KNOWN if judge else 0

    @property
    def looker(self) -> Judge | None:
        return self._unregistered[0]

    def on_fit_start(self) -> None:
        """Whatever is done first: to the run's place and precision, which is settled only now."""
        if self.looker:
            self.looker.to(self.device, next(self.model.parameters()).dtype)

    def on_test_start(self) -> None:
        self.on_fit_start()

    def on_predict_start(self) -> None:
        self.on_fit_start()

    def validation_step(self, batch: Batch, batch_idx: int) -> Named:
        if not (self.looker and self.follows):
            return super().validation_step(batch, batch_idx)
        terms, answer = self.look(batch)
        pairs = self._pairs(batch, self.looker)
        self.score(self.val_scores, terms, answer | pairs | columns_of(pairs))
        return answer

    def test_step(self, batch: Batch, batch_idx: int) -> Named:
        answer = super().test_step(batch, batch_idx)
        return answer | self._pairs(batch, self.looker) if self.looker else answer

    def predict_step(self, batch: Batch, batch_idx: int) -> Named:
        """What the judge sees in training images, and their pixels."""
        if not self.looker:
            return super().predict_step(batch, batch_idx)
        x = batch.inputs[: len(batch.targets)]
        features, classes = self._features(x, self.looker)
        pixels = (255 * self.spec.pixels(x)).round().clamp(0, 255).to(torch.uint8)
        return {"features": features, "class": classes, "pixels": pixels}

    def learn(self, answers: Iterator[Named]) -> None:
        self.learnt = joined(list(answers))

    def sampled(self, latents: Tensor, batch: Batch) -> Tensor:
        """(N, *latent_shape) -> (N, C, H, W) from 0 to 1: images to be compared with those of a batch."""
        return self.made(latents)

    @torch.no_grad()
    def _pairs(self, batch: Batch, looker: Judge) -> Named:
        """Features (N, F) and classes (N,) of a batch's images and of made ones, 0 where none was made."""
        x = batch.inputs[: len(batch.targets)]
        chosen = torch.arange(len(x), device=x.device) % self.apart == 0
        latents = self.drawn(batch.chance)[: len(x)].to(x)[chosen]
        pairs = {"compared_pairs": chosen.double()}
        pairs["real_features"], pairs["real_class"] = self._features(x, looker)
        images = self.spec.standardised(self.sampled(latents, batch)).to(x)
        for name, of in zip(("made_features", "made_class"), self._features(images, looker), strict=True):
            pairs[name] = of.new_zeros(len(x), *of.shape[1:])
            pairs[name][chosen] = of
        return pairs

    def _features(self, inputs: Tensor, looker: Judge) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> (N, F), (N,): features and classes, in the precision of the weights."""
        with torch.autocast(inputs.device.type, enabled=False):
            features, log_probs = looker.features(inputs.to(next(self.model.parameters()).dtype))
        return features, log_probs.argmax(-1)

    def examples(self, answer: Named) -> Named:
        """What is known of each pair, if a judge compared them."""
        return known(answer)

    def combined(self, examples: Named) -> Named:
        return examples | columns_of(examples) if "compared_pairs" in examples else examples

    def conclude(self, examples: Named) -> Plain:
        """What is measured of all made images, and of real ones in their place."""
        rows = examples["compared_pairs"] > 0 if "compared_pairs" in examples else torch.zeros(1, dtype=torch.bool)
        if rows.sum() < 2:
            return {"metrics": {}}
        pairs = {name: values[rows] for name, values in known(examples).items()}
        metrics, count = self._measured(pairs), int(rows.sum())
        if not self.learnt:
            return {"metrics": metrics}
        train = self.learnt["features"]
        metrics["memorised"] = memorised(train, pairs["made_features"]).double().mean().item()
        floor: Plain = {}
        if len(train) >= count:
            some = torch.randperm(len(train), generator=generator(REAL))[:count]
            of_real = pairs | {"made_features": train[some], "made_class": self.learnt["class"][some]}
            floor = self._measured(of_real | columns_of(of_real))
        floor["memorised"] = memorised(train, pairs["real_features"]).double().mean().item()
        return {"metrics": metrics, "floors": {REAL: floor}}

    def _measured(self, pairs: Named) -> dict[str, float]:
        """Of pairs all of which are compared."""
        means = {name: pairs[name].mean().item() for name in PAIRS}
        shares = {name: value for name, value in self.family.ratios(means).items() if value is not None}
        distance = frechet_distance(pairs["real_features"], pairs["made_features"])
        divergence = class_divergence(pairs["real_class"], pairs["made_class"], self.spec.num_classes)
        return shares | {"frechet_distance": distance, "class_kl": divergence}

    @torch.no_grad()
    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        """Made images beside the training images that are nearest to them."""
        if not (self.looker and self.learnt):
            return
        images = self.generate(SHOWN, 0)
        place = next(self.model.parameters())
        features, _ = self._features(self.spec.standardised(images.to(place)), self.looker)
        pixels = self.learnt["pixels"]
        near = {
            "pixels": neighbours(images.flatten(1), pixels.flatten(1).float() / 255),
            "features": neighbours(features.cpu(), self.learnt["features"]),
        }
        shown = {name: (pixels[of] / 255).numpy() for name, of in near.items()}
        yield "neighbours", beside(images.numpy(), shown, title)


def known(answer: Named) -> Named:
    """What an answer has of pairs."""
    of_images = (f"{kind}_{what}" for kind in ("real", "made") for what in ("features", "class"))
    return {name: answer[name] for name in (*PAIRS, *of_images) if name in answer}


def neighbours(made: Tensor, known: Tensor) -> Tensor:
    """(M, D), (N, D) -> (M, NEAREST): which are nearest, the nearest first."""
    return torch.stack([nearest(made, known, k + 1)[1] for k in range(NEAREST)], 1)


def columns_of(pairs: Named) -> Named:
    """PAIRS, (N,) float64 each, of all ``pairs`` that are compared; the others are 0. One pair has none."""
    rows = pairs["compared_pairs"] > 0
    if rows.sum() < 2:
        return dict.fromkeys(PAIRS, torch.zeros_like(pairs["compared_pairs"]))
    real, made = pairs["real_features"][rows], pairs["made_features"][rows]
    radius = radii(real)
    of = {
        "covered": coverage(real, made, radius=radius),
        "precise": precision(real, made, radius=radius),
        "kernel_gap": kernel_gaps(real, made),
    }
    columns = {"compared_pairs": pairs["compared_pairs"]}
    for name, values in of.items():
        columns[name] = torch.zeros_like(pairs["compared_pairs"])
        columns[name][rows] = values.double()
    return columns
