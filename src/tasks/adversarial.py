"""Generative adversarial networks: judged by what a classifier sees in the images that they make."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..checks import integer
from ..data.base import Batch, generator
from ..losses.adversarial import AdversarialLoss
from ..metrics.families import GENERATION
from ..metrics.generated import coverage, frechet_distance, kernel_distance, precision
from ..metrics.sums import Measure, Sums
from ..plain import Plain
from .generating import GeneratingTask
from .judge import Judge
from .players import PlayersTask
from .stepping import Named, Seen

COMPARED = {"coverage": coverage, "sample_precision": precision}
BLOCK = 1000  # images between which a kernel distance is taken


class AdversarialTask(GeneratingTask, PlayersTask):
    """Trains a discriminator, in ``discriminator_turns`` turns a step, and a generator, in one.

    Latents are a function of seed and step in training, and of split and batch in evaluation, the same for all runs.
    There as many images are made as a batch has real ones, and a judge's features of both are compared. coverage and
    sample_precision compare the images of a batch, whose size is the same for all runs. kernel_distance is the mean
    over blocks of 1000 test images, drawn at random, and frechet_distance is of all. told_apart is the share of pairs
    in which the discriminator scores the real image higher.
    """

    model: Any  # a GenerativeNetwork
    family = GENERATION
    minimises = AdversarialLoss
    takes = ("class", "distribution")
    players = ("discriminator", "generator")

    def __init__(self, *, judge: Judge, discriminator_turns: int, **parts: Any) -> None:
        self.discriminator_turns = integer("discriminator_turns", discriminator_turns, low=1)
        super().__init__(**parts)
        self._unregistered = [judge]  # in a list, so that it is no sub-module

    @property
    def looker(self) -> Judge:
        return self._unregistered[0]

    def on_fit_start(self) -> None:
        """Whatever is done first: to the run's place and precision, which is settled only now."""
        self.looker.to(self.device, next(self.model.parameters()).dtype)

    def on_test_start(self) -> None:
        self.on_fit_start()

    def on_predict_start(self) -> None:
        self.on_fit_start()

    def measure(self, *, whole: bool) -> Measure:
        columns = ("told_apart", *(COMPARED if whole else ()))
        return Sums(("loss", *self.players, *self.loss.parts, *columns), self.derived)

    def prepare(self, batch: Batch) -> Named:
        chance, x = batch.chance, batch.inputs
        given = {"real": self._scaled(x), "targets": batch.targets, "share": chance.uniform("between").to(x)}
        return given | {f"{name} latents": chance.normal(name, self.model.latents).to(x) for name in self.players}

    def turns(self, given: Named) -> Iterator[tuple[str, Named]]:
        parts = {name: rows.chunk(self.discriminator_turns) for name, rows in given.items()}
        for i in range(len(parts["real"])):
            yield "discriminator", {name: rows[i] for name, rows in parts.items()}
        yield "generator", given

    def turn(self, player: str, given: Named) -> Seen:
        made = self.model.generate(given[f"{player} latents"])
        scores = self.model.discriminate(made)
        if player == "generator":
            return {"loss": self.loss.generator(scores)}, {"made": made, "targets": given["targets"]}
        real = self.model.discriminate(given["real"])
        loss = self.loss(real, scores)
        if self.loss.penalises:
            loss = loss + self._penalty(given["real"], made, given["share"])
        return {"loss": loss}, {"real score": real, "made score": scores}

    def _penalty(self, real: Tensor, made: Tensor, share: Tensor) -> Tensor:
        """(N, ...), (N, ...), (N,) -> (N,): of the discriminator's gradients, in float32."""
        with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
            x = real.detach().to(next(self.model.parameters()).dtype)
            if self.loss.place == "between":
                x = x.lerp(made.detach().to(x), share.to(x).view(-1, *[1] * (x.ndim - 1)))
            x.requires_grad_()
            (gradients,) = torch.autograd.grad(self.model.discriminate(x).sum(), x, create_graph=True)
            return self.loss.penalty(gradients)

    def examine(self, given: Named) -> Seen:
        terms, answer = self.judge(given)
        found = {}
        for name, images in (("real", given["real"]), ("made", answer.pop("made"))):
            found[f"{name}_features"], found[f"{name}_classes"] = self.looker.features(self._standardised(images))
        return terms, answer | found

    def examples(self, answer: Named) -> Named:
        """Of a real image and one that was made beside it: whether each is near to the others, and both features."""
        apart = (answer["real score"] > answer["made score"]).double()
        columns = {"targets": answer["targets"], "told_apart": apart}
        if "real_features" not in answer:
            return columns
        real, made = answer["real_features"].float(), answer["made_features"].float()
        columns |= {name: of(real, made).double() for name, of in COMPARED.items()}
        classes = {name: answer[f"{name}_classes"].argmax(-1) for name in ("real", "made")}
        return columns | {f"{name}_class": value for name, value in classes.items()} | {"real": real, "made": made}

    def conclude(self, examples: Named) -> Plain:
        """The distances of all test images, and what they are between the two halves of the real ones."""
        real, made = examples["real"], examples["made"]
        order = torch.randperm(len(real), generator=generator("real images"))  # a file may be sorted
        real, classes = real[order], examples["real_class"][order]
        halves = torch.split(real, len(real) // 2)
        halves = halves[0], halves[1][: len(halves[0])]
        floor = distances(*halves)
        floor |= {name: of(*halves).double().mean().item() for name, of in COMPARED.items()}
        count = self.spec.num_classes
        shares = [torch.bincount(c, minlength=count).double() + 1 for c in (examples["made_class"], classes)]
        of_made, of_real = (share.log() - share.sum().log() for share in shares)
        kl = (of_real.exp() * (of_real - of_made)).sum().item()
        return {"metrics": distances(real, made) | {"class_kl": kl}, "floors": {"real images": floor}}

    def made(self, latents: Tensor) -> Tensor:
        return (self.model.generate(latents) + 1) / 2

    def _scaled(self, x: Tensor) -> Tensor:
        """Standardised -> pixels from -1 to 1."""
        return 2 * self.unit(x) - 1

    def _standardised(self, images: Tensor) -> Tensor:
        return self.standardised((images + 1) / 2)


def distances(real: Tensor, made: Tensor) -> dict[str, float]:
    """The means over blocks of the kernel distance, and the Frechet distance of all."""
    count = max(1, len(real) // BLOCK)
    blocks = [kernel_distance(*pair) for pair in zip(real.chunk(count), made.chunk(count), strict=True)]
    return {"kernel_distance": sum(blocks) / len(blocks), "frechet_distance": frechet_distance(real, made)}
