"""Networks with latents: a density of the inputs, judged by an estimate of the likelihood itself."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..checks import integer
from ..data.base import Batch, EvalLoader
from ..figures import latent as figures
from ..figures.grids import Array
from ..figures.pictures import picture
from ..losses.latent import LatentLoss, divergence, latents, log_mean, log_weights
from ..metrics.families import LATENT
from ..metrics.latent import ACTIVE, LatentScores, variances
from ..plain import Plain
from .judged import JudgedTask
from .stepping import Named, Seen

AT_ONCE = 1024  # inputs times latents that are decoded at a time in evaluation: what fits a processor's cache
PAIRS, TRAVERSED, STEPS = 16, 8, 9  # images that are reconstructed; latents that are changed, in so many steps


class LatentTask(JudgedTask):
    """Trains an encoder and a decoder by a loss over latents.

    nll is -log p(x), estimated by importance weighting: -log(1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)), with z_k drawn
    from q(z | x), K = ``val_samples`` or ``test_samples``. On average it is a bound from above, which tightens as K
    grows, so only values of one K compare. Its draws are a function of split and batch, the same for all runs.
    reconstruction is the mean of -log p(x | z) over these z, kl the divergence of q(z | x) from the prior in closed
    form, and negative_elbo their sum, whatever the loss weighs them by. Targets are kept, not learnt.
    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, section 5 (K = 5000).
    """

    model: Any  # a LatentNetwork
    family = LATENT
    minimises = LatentLoss
    takes = ("class", "distribution", "sequence", "value", "none")

    def __init__(self, *, val_samples: int, test_samples: int, **parts: Any) -> None:
        self.val_samples = integer("val_samples", val_samples, low=1)
        self.test_samples = integer("test_samples", test_samples, low=1)
        super().__init__(**parts)

    def measure(self, *, whole: bool) -> LatentScores:
        columns = ("reconstruction", "kl", "negative_elbo", *(("nll",) if whole else ()))
        return LatentScores(("loss", *columns), self.derived, self.model.latents)

    def derived(self, means: dict[str, float]) -> dict[str, float | None]:
        pixels = math.prod(self.spec.input_shape)
        return {**means, **({"bits_per_dim": means["nll"] / math.log(2) / pixels} if "nll" in means else {})}

    def forward(self, inputs: Tensor) -> Tensor:
        return self.model(inputs)

    def prepare(self, batch: Batch) -> Named:
        """ "noise" (N, S, D) is for the S latents that the loss wants, "judged" (N, K, D) for those of nll."""
        kept, samples = {"inputs": batch.inputs, "targets": batch.targets}, self.loss.samples
        if self.training:
            return kept | {"noise": self._draws(batch, samples)}
        split, _ = batch.chance.key
        judged = self._draws(batch, self.test_samples if split == "test" else self.val_samples)
        noise = judged[:, :samples] if samples <= judged.shape[1] else self._draws(batch, samples)
        return kept | {"noise": noise, "judged": judged}

    def _draws(self, batch: Batch, samples: int) -> Tensor:
        return batch.chance.normal("latents", samples, self.model.latents).to(batch.inputs)

    def made(self, latents: Tensor) -> Tensor:
        """(N, D) -> (N, C, H, W): E[x | z] of latents from the prior."""
        return self.spec.pixels(self._mean(latents)).clamp(0, 1)

    def sampled(self, latents: Tensor, batch: Batch) -> Tensor:
        """Means, as ``made`` has them; if pixels are 0 or 1, draws from p(x | z): the data have no grey."""
        mean = self.made(latents)
        if self.loss.reconstruction != "bernoulli":
            return mean
        return (batch.chance.uniform("pixels", *mean.shape[1:])[: len(mean)].to(mean) < mean).to(mean)

    def judge(self, given: Named) -> Seen:
        x, noise = given["inputs"], given["noise"]
        mu, log_var = self.model.encode(x)  # (N, D), (N, D)
        log_p = self.log_likelihood(x, mu, log_var, noise)  # (N, S)
        return self._seen(given, log_p, mu, log_var)

    def examine(self, given: Named) -> Seen:
        x, noise, judged = given["inputs"], given["noise"], given["judged"]
        samples, rows = noise.shape[1], len(given["targets"])
        mu, log_var = self.model.encode(x)  # (N, D), (N, D)
        log_p = self._in_parts(x, mu, log_var, judged)  # (N, K)
        of_loss = log_p[:, :samples] if samples <= log_p.shape[1] else self._in_parts(x, mu, log_var, noise)  # (N, S)
        terms, answer = self._seen(given, of_loss, mu, log_var)
        log_w = log_weights(log_p.double(), mu, log_var, judged)  # (N, K)
        return terms, answer | {"reconstruction": -log_p.mean(1)[:rows], "nll": -log_mean(log_w)[:rows]}

    def log_likelihood(self, x: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        """(N, ...), (N, D), (N, D), (N, S, D) -> (N, S): log p(x | z) of the latents z = mu + sigma noise."""
        return self.loss.log_likelihood(self.model.decode(latents(mu, log_var, noise)), x)

    @torch.compiler.disable  # a graph would hold the loop once for each of its turns
    def _in_parts(self, x: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        """What ``log_likelihood`` gives, a few latents at a time: so many images at once would fill the memory."""
        parts = torch.split(noise, max(1, AT_ONCE // len(x)), 1)
        return torch.cat([self.log_likelihood(x, mu, log_var, part) for part in parts], 1)

    def _seen(self, given: Named, log_p: Tensor, mu: Tensor, log_var: Tensor) -> Seen:
        targets = given["targets"]
        rows = slice(len(targets))  # none, where a rank only computes along with the others
        log_p, mu, log_var = log_p[rows], mu[rows], log_var[rows]
        answer = {"mu": mu, "log_var": log_var, "reconstruction": -log_p.mean(1), "targets": targets}
        return {"loss": self.loss(log_p, mu, log_var, given["noise"][rows])}, answer

    def examples(self, answer: Named) -> Named:
        """nll, reconstruction, kl and negative_elbo, in nats, and the posterior's mu and log_var, (N, latents)."""
        kl = divergence(answer["mu"].double(), answer["log_var"].double()).sum(-1)
        reconstruction = answer["reconstruction"].double()
        kept = {name: answer[name] for name in ("targets", "mu", "log_var")}
        columns = {"reconstruction": reconstruction, "kl": kl, "negative_elbo": reconstruction + kl}
        return super().examples(answer) | columns | kept | ({"nll": answer["nll"]} if "nll" in answer else {})

    def conclude(self, examples: Named) -> Plain:
        """Of each latent the mean KL, in nats, and the variance of its mean; a note if none is used."""
        mu, log_var = examples["mu"].double(), examples["log_var"].double()
        kl, variance = divergence(mu, log_var).mean(0), variances(mu)
        notes = []
        if not (variance > ACTIVE).any():
            notes = [
                f"posterior collapse: no latent is active, and their KL is {kl.sum():.3g} nats. The latents say nothing"
                " of the inputs, the decoder learnt one distribution for all of them"
            ]
        of_latents = {"kl": kl.tolist(), "variance": variance.tolist()}
        return super().conclude(examples) | {"latents": of_latents, "notes": notes}

    @torch.no_grad()
    def pictures(self, title: str, result: Plain, examples: Named, loader: EvalLoader) -> Iterator[tuple[str, Figure]]:
        """Test images and what becomes of them, the latents, and what they say."""
        self.model.eval()
        x = next(iter(loader)).inputs[:PAIRS]
        mu, _ = self.model.encode(x)
        yield "reconstructions", figures.pairs(self._images(x), self._images(self._mean(mu)), title)
        kl, variance = torch.tensor(result["latents"]["kl"]), torch.tensor(result["latents"]["variance"])
        yield "latents", figures.bars(kl.numpy(), (variance > ACTIVE).numpy(), title)
        most = kl.argsort(descending=True)[:TRAVERSED].tolist()
        levels = torch.linspace(-3, 3, STEPS).to(mu)
        path = mu[0].repeat(len(most), STEPS, 1)  # (latents shown, STEPS, D)
        for row, j in enumerate(most):
            path[row, :, j] = levels
        yield "traversal", figures.traversal(self._images(self._mean(path)), most, title)
        if self.model.latents == 2 and self.spec.targets == "class":
            classes = examples["targets"].numpy()
            yield "map", figures.scatter(examples["mu"].numpy(), classes, self.spec.class_names, title)
        yield from super().pictures(title, result, examples, loader)

    def _mean(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., C, H, W): E[x | z]."""
        return self.loss.mean(self.model.decode(z))

    def _images(self, x: Tensor) -> Array:
        """(..., C, H, W), standardised -> (..., H, W) or, in colour, (..., H, W, 3), from 0 to 1."""
        return picture(self.spec.pixels(x))
