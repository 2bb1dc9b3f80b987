"""Diffusion models: a network takes noise out of images, and is judged by the bound on their likelihood."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..checks import integer
from ..data.base import Batch, Chance, EvalLoader
from ..figures import diffusion as figures
from ..losses.diffusion import DenoisingLoss, levels
from ..metrics.families import DIFFUSION
from ..metrics.sums import Measure, Sums
from ..plain import Plain
from .diffusion import FINEST, Diffusion, chain
from .judged import JudgedTask
from .stepping import Named, Seen

CHAINS, MOMENTS = 8, 8  # images that are drawn as they arise, and at how many time steps
BINS = 20  # parts of time, at most, of which predictions.npz keeps the loss
PARTS = ("diffusion_bits", "reconstruction_bits", "prior_bits")


class DenoisingTask(JudgedTask):
    """Trains a network to take noise out of images, which have 256 values a pixel, scaled to [-1, 1].

    Training draws a time step for each image, from 1 to ``steps``, in equal parts of the batch, and noise.
    bits_per_dim is the variational bound on -log2 p(x), divided by the number of pixels and channels: the sum of
    diffusion_bits, the KL terms of the steps from ``steps`` to 2, reconstruction_bits, the decoder's at step 1, and
    prior_bits, what is left of the image at the last step. Each step has noise of its own, a function of split and
    batch, the same for all runs. The image that the network finds is clipped to [-1, 1]. ``val_steps`` and
    ``test_steps`` say at how many steps an image is looked at. If these are not all, they are step 1, and one of each
    of several parts of the others, drawn for each image. The sum over a part is estimated by what is found there, times
    its length, so the bound is unbiased. Parts grow with time, since most of the bound is near the image. noise_mse is
    the mean over steps and pixels of the squared error of the noise.
    Targets are kept, not learnt. Raises ValueError for data that are no images.
    Sources: Ho et al. 2020, arXiv:2006.11239, eq. 5; gaussian_diffusion.py of improved-diffusion (calc_bpd_loop).
    """

    model: Any  # a DenoisingNetwork
    family = DIFFUSION
    minimises = DenoisingLoss
    takes = ("class", "distribution", "value", "none")
    apart = 5  # each image costs many passes
    tempered = False  # the first noise has the deviation that the network was trained for
    shown = 16  # each takes as many passes through the network as there are sampling steps

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
        """How many steps each look stands for: step 1 by itself, then parts of the others, in order, whose ends grow by
        a factor, or at least by 1."""
        looks, factor = self.looks["val" if split == "val" else "test"] - 1, (self.diffusion.steps + 1) / 2
        edges = [max(2 + k, math.floor(2 * factor ** (k / looks) + 0.5)) for k in range(looks + 1)]
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
        what is found in each of some parts of time; the sum over parts of the first is the bound without what is
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
        return super().conclude(examples) | {"times": {name: values.tolist() for name, values in found.items()}}

    @torch.no_grad()
    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        """The loss by time, and how images arise from noise that is the same for all runs."""
        self.model.eval()
        yield "times", figures.by_time(result["times"], title)
        noise = self.drawn(Chance("chain", size=CHAINS)).to(next(self.model.parameters()))
        moments = list(chain(self.diffusion, self._clipped, noise, self.sampling_steps))
        count = min(MOMENTS, len(moments))
        chosen = [moments[round(i * (len(moments) - 1) / (count - 1))] for i in range(count)]
        arising = torch.stack([images for _, images in chosen], 1)  # (M, moments, C, H, W)
        yield "chain", figures.chain(figures.shown(arising), [time for time, _ in chosen], title)
        yield from super().pictures(title, result, examples, loader)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Noise of the images' shape."""
        return self.spec.input_shape

    def made(self, latents: Tensor) -> Tensor:
        """Nothing else is random: the same noise gives the same images."""
        *_, (_, images) = chain(self.diffusion, self._clipped, latents, self.sampling_steps)
        return (images.clamp(-1, 1) + 1) / 2

    def _clipped(self, x: Tensor, t: Tensor) -> Tensor:
        """(N, C, H, W), (N,) on the CPU -> (N, C, H, W): the image that the network finds in x at the steps t."""
        snr, time = self.diffusion.snr[t].to(x), (t / self.diffusion.steps).to(x)
        return self.loss.denoised(self.model(x, time), x, snr).clamp(-1, 1)

    def _scaled(self, x: Tensor) -> Tensor:
        """Standardised -> 256 values from -1 to 1."""
        return (self.spec.pixels(x) * (FINEST - 1)).round() / ((FINEST - 1) / 2) - 1


def _in_parts(by_look: Tensor) -> Tensor:
    """(N, looks) -> (N, min(looks, BINS)): sums over looks that follow on each other."""
    return torch.stack([part.sum(1) for part in by_look.tensor_split(min(BINS, by_look.shape[1]), 1)], 1)
