"""Tasks whose networks make images: what is made, of which latents, and the grid that a run shows of itself."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..data.base import Chance
from ..figures.grids import grid
from .base import Task

AT_ONCE = 16  # images that are made at a time, in every grid: who shares the batch may change the last bits of a float


class GeneratingTask(Task):
    """A task whose network makes images of latents, which are independent standard normal numbers.

    A family must write ``made``. ``generate`` makes images of latents that are a function of the seed and of the
    image's place alone: a larger grid begins with the images of a smaller one, a run shows the same latents at each
    validation, and runs of one seed have the same ones.
    """

    model: Any
    shown: ClassVar[int] = 64  # images of the grid that a run draws at each validation: fewer, if they are costly
    tempered: ClassVar[bool] = True  # whether latents of another variance than 1 make sense

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of the latents of one image."""
        return (self.model.latents,)

    def drawn(self, chance: Chance) -> Tensor:
        """(examples, *latent_shape) float32 on the CPU: latents that are a function of ``chance`` alone."""
        return chance.normal("latents", *self.latent_shape)

    def made(self, latents: Tensor) -> Tensor:
        """(N, *latent_shape) -> (N, C, H, W): the network's images, from 0 to 1."""
        raise NotImplementedError

    @torch.no_grad()
    def generate(self, count: int, seed: int, *, temperature: float = 1.0) -> Tensor:
        """(count, C, H, W) float32 on the CPU, from 0 to 1: images of latents from N(0, temperature^2).

        The global random state is untouched, and the network is as it was.
        """
        place, training = next(self.model.parameters()), self.model.training
        self.model.eval()
        latents = (self.drawn(Chance("samples", seed, i, size=AT_ONCE)) for i in range(math.ceil(count / AT_ONCE)))
        made = [self.made(temperature * z.to(place)).float().cpu() for z in latents]
        self.model.train(training)
        return torch.cat(made)[:count]

    def grid(self, seed: int) -> bytes:
        """A PNG file of the first ``shown`` images."""
        return grid(self.generate(self.shown, seed).numpy())
