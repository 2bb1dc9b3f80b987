"""Diffusion models: a network takes noise out of images, and is judged by the bound on their likelihood."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..checks import integer
from ..data.base import Batch, EvalLoader, generator
from ..figures import diffusion as figures
from ..figures.latent import grid
from ..losses.diffusion import DenoisingLoss, levels
from ..metrics.families import DIFFUSION
from ..metrics.sums import Measure, Sums
from ..plain import Plain
from .base import Task
from .diffusion import FINEST, Diffusion, chain
from .stepping import Named, Seen

GRID, CHAINS, MOMENTS = (8, 8), 8, 8  # images drawn; images drawn as they arise, and at how many time steps
BINS = 20  # parts of time, at most, of which predictions.npz keeps the loss
PARTS = ("diffusion_bits", "reconstruction_bits", "prior_bits")


class DenoisingTask(Task):
    """Trains a network to take noise out of images, which have 256 values a pixel, scaled to [-1, 1].

    Training draws a time step for each image, from 1 to ``steps``, in equal parts of the batch, and noise.
    bits_per_dim is the variational bound on -log2 p(x), divided by the number of pixels and channels: the sum of
    diffusion_bits, the KL terms of the steps from ``steps`` to 2, reconstruction_bits, the decoder's at step 1, and
    prior_bits, what is left of the image at the last step. Each step has noise of its own, a function of split and
    batch, the same for all runs. The image that the network finds is clipped to [-1, 1]. ``val_steps`` and
    ``test_steps`` say at how many steps an image is looked at. If these are not all, they are step 1, and one of each
    of several equal parts of the others, drawn for each image. The sum over a part is estimated by what is found there,
    times its length, so the bound is unbiased. noise_mse is the mean over steps and pixels of the squared error of the
    noise.
    Targets are kept, not learnt. Raises ValueError for data that are no images.
    Sources: Ho et al. 2020, arXiv:2006.11239, eq. 5; gaussian_diffusion.py of improved-diffusion (calc_bpd_loop).
    """

    model: Any  # a DenoisingNetwork
    family = DIFFUSION
    minimises = DenoisingLoss
    takes = ("class", "distribution", "value", "none")

    def __init__(self, *, steps: int, val_steps: int, test_steps: int, sampling_steps: int, **parts: Any) -> None:
        self.diffusion = Diffusion(steps)
        self.looks = {
            "val": integer("val_steps", val_steps, low=2, high=steps),
            "test": integer("test_steps", test_steps, low=2, high=steps),
        }
        self.sampling_steps = integer("sampling_steps", sampling_steps, low=1, high=steps)
        super().__init__(**parts)
        if self.spec.kind != "image":
            raise ValueError(f"the data are of the kind {self.spec.kind}, not image")

    def measure(self, *, whole: bool) -> Measure:
        return Sums(("loss", *((*PARTS, "noise_mse") if whole else ())), self.derived)

    def derived(self, means: dict[str, float]) -> dict[str, float | None]:
        bound = {"bits_per_dim": sum(means[part] for part in PARTS)} if PARTS[0] in means else {}
        return {"loss": means["loss"], **bound, **means}

    def forward(self, inputs: Tensor) -> Tensor:
        """What the network gives of images that are noise."""
        return self.model(inputs, inputs.new_ones(len(inputs)))

    def prepare(self, batch: Batch) -> Named:
        """Training's time steps, one an image, and noise."""
        return self._noisy(batch, (batch.chance.stratified("time") * self.diffusion.steps).long() + 1, "noise")

    def _noisy(self, batch: Batch, t: Tensor, name: str) -> Named:
        """What ``judge`` reads of a batch at the time steps ``t`` (N,), on the CPU, with noise of this name."""
        x0, steps = self._scaled(batch.inputs), self.diffusion.steps
        noise = batch.chance.normal(name, *x0.shape[1:]).to(x0)
        of_time = {"time": t / steps, "snr": self.diffusion.snr[t], "cost": self.diffusion.cost[t]}
        return {"x0": x0, "noise": noise, "targets": batch.targets} | {k: v.to(x0) for k, v in of_time.items()}

    def judge(self, given: Named) -> Seen:
        loss, _, _ = self._denoised(given)
        return {"loss": loss}, {"targets": given["targets"]}

    def examine(self, given: Named) -> Seen:
        """ "denoised" (N, ...) is the image that the network finds; the others are (N,), of one step, in nats."""
        loss, found, rows = self._denoised(given)
        x0, snr = given["x0"][rows], given["snr"][rows]
        clipped = found.clamp(-1, 1)
        cost = given["cost"][rows] * (x0 - clipped).square().flatten(1).sum(1)
        answer = {"denoised": clipped, "cost": cost, "noise_mse": snr * (x0 - found).square().flatten(1).mean(1)}
        return {"loss": loss}, answer | {"targets": given["targets"]}

    def _denoised(self, given: Named) -> tuple[Tensor, Tensor, slice]:
        """The loss (N,), the images without noise (N, ...), and which rows these are of."""
        x0, noise, snr = given["x0"], given["noise"], given["snr"]
        alpha, sigma = levels(snr, x0)  # (N, 1, 1, 1)
        x = alpha * x0 + sigma * noise
        rows = slice(len(given["targets"]))  # none, where a rank only computes along with the others
        prediction = self.model(x, given["time"])[rows]  # (N, C, H, W)
        bound = self.diffusion.steps * given["cost"][rows]
        loss = self.loss(prediction, x0[rows], noise[rows], snr[rows], bound)
        return loss, self.loss.denoised(prediction, x[rows], snr[rows]), rows

    def look(self, batch: Batch) -> Seen:
        """Looks at a batch at several steps of each image, and adds up what it finds."""
        lengths = self._lengths(batch.chance.key[0])
        rows, steps = len(batch.targets), self.diffusion.steps
        found: list[Named] = []
        first = 1
        for k, length in enumerate(lengths):
            t = first + (batch.chance.uniform(f"time {k}") * length).long()
            given = self._noisy(batch, t, f"noise {k}")
            terms, answer = self.examine(given)
            one = {"loss": terms["loss"].double(), "noise_mse": answer["noise_mse"].double()}
            nats = self.diffusion.decoded(given["x0"][:rows], answer["denoised"]) if k == 0 else answer["cost"].double()
            found.append({name: value * length / steps for name, value in one.items()} | {"nats": nats * length})
            first += length
        by_look = {name: torch.stack([one[name] for one in found], 1) for name in found[0]}  # (N, looks) each
        prior = self.diffusion.prior(self._scaled(batch.inputs)[:rows])
        return {"loss": by_look["loss"].sum(1)}, self._bits(by_look, prior) | {"targets": batch.targets}

    def _lengths(self, split: int | str) -> list[int]:
        """How many steps each look stands for: step 1 by itself, then equal parts of the others, in order."""
        looks, steps = self.looks["val" if split == "val" else "test"] - 1, self.diffusion.steps - 1
        edges = [round(steps * k / looks) for k in range(looks + 1)]
        return [1, *(after - before for before, after in pairwise(edges))]

    def _bits(self, by_look: Named, prior: Tensor) -> Named:
        """(N, looks) nats and shares of means over time, (N,) nats -> the columns; what is found in parts of time."""
        each = 1 / math.log(2) / math.prod(self.spec.input_shape)
        nats = by_look["nats"] * each
        columns = dict(zip(PARTS, (nats[:, 1:].sum(1), nats[:, 0], prior * each), strict=True))
        over_time = {f"{name}_by_time": _in_parts(by_look[name]) for name in ("loss", "noise_mse")}
        return columns | {"noise_mse": by_look["noise_mse"].sum(1), "bits_by_time": _in_parts(nats)} | over_time

    def examples(self, answer: Named) -> Named:
        """The columns, in bits a pixel and channel, and bits_by_time, loss_by_time and noise_mse_by_time, (N, parts):
        what is found in each of some equal parts of time; the sum over parts of the first is the bound without what is
        left at the end, the sums of the others are means over time."""
        if PARTS[0] not in answer:
            return answer
        return answer | {"bits_per_dim": torch.stack([answer[part] for part in PARTS]).sum(0)}

    def conclude(self, examples: Named) -> Plain:
        """Of each part of time its last step, its bits, and the means of the loss and of noise_mse there."""
        lengths = torch.tensor(self._lengths("test"), device="cpu")
        inside = _in_parts(lengths[None].double())[0]
        shares = inside / inside.sum()
        means = {name: examples[f"{name}_by_time"].double().mean(0) / shares for name in ("loss", "noise_mse")}
        found = {"until": inside.cumsum(0).long(), "bits": examples["bits_by_time"].double().mean(0), **means}
        return {"metrics": {}, "times": {name: values.tolist() for name, values in found.items()}}

    @torch.no_grad()
    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        """The loss by time, images made of noise that is the same for all runs, and how some of them arise."""
        self.model.eval()
        yield "times", figures.by_time(result["times"], title)
        noise = torch.randn(
            math.prod(GRID), *self.spec.input_shape, generator=generator("shown noise"), dtype=torch.float32
        )
        moments = list(self.chain(noise))
        samples = shown(moments[-1][1])
        below = f"made of noise in {self.sampling_steps} steps"
        yield "samples", grid(samples.reshape(*GRID, *samples.shape[1:]), below, title)
        places = [round(i * (len(moments) - 1) / (MOMENTS - 1)) for i in range(min(MOMENTS, len(moments)))]
        arising = torch.stack([moments[place][1][:CHAINS] for place in places], 1)  # (M, moments, C, H, W)
        yield "chain", figures.chain(shown(arising), [moments[place][0] for place in places], title)

    @torch.no_grad()
    def chain(self, noise: Tensor) -> Iterator[tuple[int, Tensor]]:
        """(N, C, H, W) standard normal -> falling time steps, the last 0, and the images then, from -1 to 1 at the end.

        Nothing else is random: the same noise gives the same images.
        """
        place = next(self.model.parameters())
        return chain(self.diffusion, self._clipped, noise.to(place), self.sampling_steps)

    def _clipped(self, x: Tensor, t: Tensor) -> Tensor:
        """(N, C, H, W), (N,) on the CPU -> (N, C, H, W): the image that the network finds in x at the steps t."""
        snr, time = self.diffusion.snr[t].to(x), (t / self.diffusion.steps).to(x)
        return self.loss.denoised(self.model(x, time), x, snr).clamp(-1, 1)

    def _scaled(self, x: Tensor) -> Tensor:
        """Standardised -> 256 values from -1 to 1."""
        mean, std = (torch.tensor(values).to(x)[:, None, None] for values in (self.spec.mean, self.spec.std))
        return ((x * std + mean) * (FINEST - 1)).round() / ((FINEST - 1) / 2) - 1


def _in_parts(by_look: Tensor) -> Tensor:
    """(N, looks) -> (N, min(looks, BINS)): sums over looks that follow on each other."""
    return torch.stack([part.sum(1) for part in by_look.tensor_split(min(BINS, by_look.shape[1]), 1)], 1)


def shown(images: Tensor) -> figures.Array:
    """(..., C, H, W) from -1 to 1 -> (..., H, W) or, in colour, (..., H, W, 3), from 0 to 1."""
    pixels = ((images.clamp(-1, 1) + 1) / 2).movedim(-3, -1).float().cpu()
    return (pixels[..., 0] if pixels.shape[-1] == 1 else pixels).numpy()
