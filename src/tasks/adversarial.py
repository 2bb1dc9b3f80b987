"""Generative adversarial networks: judged by what a classifier sees in the images that they make."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..checks import integer
from ..data.base import Batch
from ..losses.adversarial import AdversarialLoss
from ..metrics.families import GENERATION
from .judge import Judge
from .judged import JudgedTask
from .players import PlayersTask
from .stepping import Named, Seen


class AdversarialTask(JudgedTask, PlayersTask):
    """Trains a discriminator, in ``discriminator_turns`` turns a step, and a generator, in one.

    Latents are a function of seed and step in training, and of split and batch in evaluation, the same for all runs.
    told_apart is the share of pairs in which the discriminator scores the real image higher than the made one.
    """

    model: Any  # a GenerativeNetwork
    family = GENERATION
    minimises = AdversarialLoss
    takes = ("class",)
    players = ("discriminator", "generator")
    columns = ("told_apart",)
    follows = True
    cuts = "discriminator_turns"
    watched = ("real_score", "made_score")

    def __init__(self, *, judge: Judge, discriminator_turns: int, **parts: Any) -> None:
        self.discriminator_turns = integer("discriminator_turns", discriminator_turns, low=1)
        super().__init__(judge=judge, **parts)

    def made(self, latents: Tensor) -> Tensor:
        return (self.model.generate(latents) + 1) / 2

    def prepare(self, batch: Batch) -> Named:
        chance, x = batch.chance, batch.inputs
        given = {"real": self._scaled(x), "targets": batch.targets, "share": chance.uniform("between").to(x)}
        return given | {f"{name} latents": chance.normal(name, self.model.latents).to(x) for name in self.players}

    def turns(self, given: Named) -> Iterator[tuple[str, Named]]:
        parts = {name: rows.tensor_split(self.discriminator_turns) for name, rows in given.items()}
        for i in range(len(parts["real"])):
            yield "discriminator", {name: rows[i] for name, rows in parts.items()}
        yield "generator", given

    def turn(self, player: str, given: Named) -> Seen:
        made = self.model.generate(given[f"{player} latents"])
        scores = self.model.discriminate(made)
        if player == "generator":
            return {"loss": self.loss.generator(scores)}, {"targets": given["targets"]}
        real = self.model.discriminate(given["real"])
        loss = self.loss(real, scores)
        if self.loss.penalises:
            loss = loss + self._penalty(given["real"], made, given["share"])
        return {"loss": loss}, {"real_score": real, "made_score": scores}

    def _penalty(self, real: Tensor, made: Tensor, share: Tensor) -> Tensor:
        """(N, ...), (N, ...), (N,) -> (N,): of the discriminator's gradients, in float32."""
        with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
            x = real.detach().to(next(self.model.parameters()).dtype)
            if self.loss.place == "between":
                x = x.lerp(made.detach().to(x), share.to(x).view(-1, *[1] * (x.ndim - 1)))
            x.requires_grad_()
            (gradients,) = torch.autograd.grad(self.model.discriminate(x).sum(), x, create_graph=True)
            return self.loss.penalty(gradients)

    def examples(self, answer: Named) -> Named:
        """Whether the discriminator tells a real image from one that was made beside it, and what the judge says."""
        apart = (answer["real_score"] > answer["made_score"]).double()
        return super().examples(answer) | {"targets": answer["targets"], "told_apart": apart}

    def _scaled(self, x: Tensor) -> Tensor:
        """Standardised -> pixels from -1 to 1."""
        return self.spec.pixels(x) * 2 - 1
