"""Makes docs/losses.md and its pictures from the losses themselves: docstrings, option files, and their numbers.

Run from anywhere: python docs/losses.py
"""

# ruff: noqa: E501  the table's rows
import inspect
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the import root, where this runs as a script

from src.config.signature import constant  # noqa: E402
from src.losses.adversarial import AdversarialLoss  # noqa: E402
from src.losses.alignment import AlignmentLoss  # noqa: E402
from src.losses.base import DistillationLoss, LogitLoss, Loss  # noqa: E402
from src.losses.diffusion import DenoisingLoss  # noqa: E402
from src.losses.latent import LatentLoss  # noqa: E402
from src.losses.pairs import PairLoss  # noqa: E402
from src.losses.regression import RegressionLoss  # noqa: E402
from src.losses.towers import TowerLoss  # noqa: E402

PAGE = ROOT / "docs/losses.md"
PICTURES = ROOT / "docs/losses"
FACTS = {"class_counts": [1, 3, 6], "num_classes": 3}  # of the pictures: three classes, the target's the rare one
OTHERS = (0.0, -1.0)  # the logits of the other two classes
TEACHER = (2.0, 0.0, -1.0)
BLUE, GREY = "#0072B2", "#777777"  # apart for every kind of colour vision, and in print

INTRO = """# Losses

Made by `python docs/losses.py` from the classes in `src/losses` and their option files; do not edit by hand.

Choose a loss by `loss=NAME` and change an option by `loss.OPTION=VALUE`.

## Which one?

Start with `ce`. Compare another one with it on your own data, over at least three seeds: [compare.md](compare.md).

| your problem | try | because |
| --- | --- | --- |
| none yet | `ce` | its minimiser is the true probabilities; every other loss is compared with it |
| many labels are wrong | `generalized_ce` | with 40 % wrong labels: accuracy 0.916 ± 0.006, `ce` 0.812 ± 0.007 ([results](results.md)). The other option, `symmetric_ce`, is ahead of both if most labels are wrong (Wang et al. 2019) |
| probabilities must be right, and you can fit a temperature | `ce` | the temperature is always fitted: then nll is 0.436, that of `focal` 0.435 ([calibration](calibration.md)) |
| probabilities must be right, and you cannot | `focal loss.gamma=3` | ece 0.0128 ± 0.0041, `ce` 0.0993 ± 0.0055, at the same accuracy ([calibration](calibration.md)). Not measured here: `flsd`, `dual_focal`, `mmce`, `squentropy` |
| a long tail, and each class counts the same | `logit_adjusted` | class-mean accuracy 0.774 ± 0.005, `ce` 0.720 ± 0.004, `ce` with balanced weights 0.745 ± 0.007 ([results](results.md)) |
| a good network exists, and you want a small one | `distillation` | the student learned a class that it never saw: 0.869 ± 0.025 of its examples. But its test error on all of MNIST was no lower: 1.83 ± 0.10 against 1.60 ± 0.07 ([results](results.md)) |
| the network will be a teacher | not `smoothed_ce` | it makes a poorer teacher (Müller et al. 2019, arXiv:1906.02629) |
| unknown inputs must get low confidence | `logit_norm` | Wei et al. 2022; not measured here |
| several classes at once, or yes or no | `bce` | Beyer et al. 2020; one logit with `data.binary` |
| mixed images (`data.mixup`) | a loss with "distributions" below | the others take classes only, and refuse |
| no labels | `nt_xent` or `vicreg` | no difference in the probe is shown (0.803 and 0.801), and neither beats raw pixels here: 0.827 ([pairs](contrastive.md)) |
| images with captions | `clip` | it finds 0.862 of the unseen captions, `siglip` 0.802 ([captions](clip.md)) |
| lines of characters | `ctc` | cer 0.0471 ± 0.0052; no loss is shown to be better ([CTC](ctc.md)) |
| only accuracy counts | `hinge` | Crammer & Singer 2001; it gives no probabilities |
| logits drift in a large language model | `z_loss` | Chowdhery et al. 2022; not measured here |

## All losses of classes

A loss gives one number per example: summed over classes, in natural logarithms. The task takes the mean over examples. The
letters: z are the K logits of an example, p = softmax(z), y its class, q its target distribution, eta the true probabilities
of the classes. Never compare values of different losses; compare `train/nll`.

- *Targets*: classes only, or distributions over classes (mixed images) as well.
- *Probabilities*: how its logits are read. If scores are no probabilities, nll, perplexity and calibration are not reported.
- *Weights*: whether it takes `class_weights`, scaled so that their mean over the training split is 1.
"""

DRAWN = """## What is drawn

Loss and gradient by z_y for an example with logits (z_y, 0, -1). Left of the dotted line, at margin 0, it is classified
wrongly. The options are the defaults; cross-entropy is dashed. `logit_adjusted` has frequencies 0.1, 0.3, 0.6, so its target
is the rare class. The teacher of `distillation` says (2, 0, -1). `mmce` sees this one example as its batch.
"""

LATENT = """# Losses of latents

For `model=vae`, a density of images ([vae.md](vae.md)). x is an image, z its D latents, p(z) = N(0, 1) the prior of each;
the encoder gives q(z | x) = N(mu, sigma²), the decoder p(x | z). A loss gives one number per image, in nats, summed over
pixels and latents. Compare them by `nll`, never by their own values.
"""
DENOISING = """# Losses of noisy images

For `model=unet`, which sees noise in images ([diffusion.md](diffusion.md)). x0 is an image, scaled to [-1, 1], and
x = alpha x0 + sigma noise what the network reads, with alpha² + sigma² = 1; snr = alpha² / sigma². Compare them by
`bits_per_dim`, never by their own values.
"""
REGRESSION = """# Losses of numbers

For data whose targets are numbers. The letters: y is the target of an example, in standard deviations of the training
targets, e = y - m its error. Compare them by `crps`, never by their own values.
"""
TOWERS = """# Losses of images and captions

For `model=two_towers`, which embeds both in one space ([clip.md](clip.md)). a are the embeddings of the N images of a batch,
b those of their captions, all of length 1. A loss gives one number per pair. Compare them by `unseen_recall_at_1`, never by
their own values.
"""
PAIRS = """# Losses of pairs

For two views of each image. a and b are the embeddings of the N examples of a batch, D numbers each, z the 2N of both views,
s_ij the cosine of z_i and z_j. An example's number is the mean over both
of its views, each in turn the anchor: the view that is asked about. Compare them by what a probe reads in the features, never by their own values.
"""
ALIGNMENT = """# Losses of sequences

For `model=line_cnn`, which reads a line of characters ([ctc.md](ctc.md)). The network gives K + 1 outputs for each of T frames,
the blank first; p_t is their softmax. A line has U characters. Compare them by `cer` and `nll`, never by their own values.
"""
GAMES = """# Losses of generated images

For `model=dcgan`, whose generator G makes images of latents z, and whose discriminator D scores images x ([gan.md](gan.md)).
Two losses are minimised in turns, the discriminator's and the generator's; a loss gives one number per image for each. Compare
them by `coverage`, never by their own values.
"""
OTHER: dict[type[Loss], str] = {  # not over classes
    RegressionLoss: REGRESSION,
    LatentLoss: LATENT,
    DenoisingLoss: DENOISING,
    PairLoss: PAIRS,
    TowerLoss: TOWERS,
    AlignmentLoss: ALIGNMENT,
    AdversarialLoss: GAMES,
}


@dataclass(frozen=True)
class Entry:
    """One loss: its name, class, options as (name, default, comment), and a built one for three classes."""

    name: str
    cls: type[Any]
    options: list[tuple[str, str, str]]
    loss: Any

    def part(self, start: str, end: str) -> str:
        """The docstring's text from one mark to the next, on one line."""
        doc = inspect.getdoc(self.cls) or ""
        found = re.search(rf"{start}(.*?){end}", doc, re.DOTALL)
        assert found, f"{self.cls.__name__}: no '{start}' before '{end}' in its docstring"
        return " ".join(found[1].split()).replace("``", "`")

    @property
    def when(self) -> str:
        return "Use it " + self.part(r"Use it ", r"\sLimits:")

    @property
    def targets(self) -> str:
        return "classes, distributions" if self.cls.soft_targets else "classes"

    @property
    def probabilities(self) -> str:
        z = torch.tensor([[2.0, *OTHERS]])
        log_p = self.loss.log_probs(z)
        if log_p is None:
            return "none"
        return "softmax" if torch.allclose(log_p, z.log_softmax(-1)) else "its own link"

    @property
    def gathered(self) -> bool:
        """Whether its task gives it the batches of all ranks as one."""
        option = yaml.safe_load((ROOT / f"conf/loss/{self.name}.yaml").read_text())
        (task,) = (use["/task@_global_.task"] for use in option["defaults"] if isinstance(use, dict))
        target = yaml.safe_load((ROOT / f"conf/task/{task}.yaml").read_text())["_target_"]
        return bool(constant(target, "gathers"))

    @property
    def weights(self) -> str:
        return "yes" if any(option == "class_weights" for option, _, _ in self.options) else ""


def entries(family: type[Loss] = Loss) -> list[Entry]:
    """The losses of a family, or all."""
    paths = sorted((ROOT / "conf/loss").glob("*.yaml"))
    options = [path for path in paths if "\n_target_: " in path.read_text()]  # not those that build on others
    return [one for one in map(entry, options) if isinstance(one.loss, family)]


def entry(path: Path) -> Entry:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("defaults: ")]
    module, _, name = lines[0].removeprefix("_target_: ").rpartition(".")
    cls = getattr(import_module(module), name)
    options = [re.fullmatch(r"(\w+): (\S+) +# (.*)", line) for line in lines[1:]]
    assert all(options), f"{path}: each option needs a default and a comment"
    texts = [(str(option[1]), str(option[2]), str(option[3])) for option in options if option]
    needed = inspect.signature(cls).parameters.keys() & FACTS.keys()
    return Entry(path.stem, cls, texts, cls(**{k: FACTS[k] for k in needed}))


def page() -> str:
    every = entries(LogitLoss)
    rows = [f"| [{e.name}](#{e.name}) | {e.targets} | {e.probabilities} | {e.weights} | {e.when} |" for e in every]
    table = ["| loss | targets | probabilities | weights | when |", "| --- | --- | --- | --- | --- |", *rows]
    others = [part for family, intro in OTHER.items() for part in (intro, *map(section, entries(family)))]
    return "\n".join([INTRO, *table, "", DRAWN, *map(section, every), *others])


def section(e: Entry) -> str:
    title, _, formula = e.part(r"\A", r"\n\n").partition(": ")
    lines = [f"## {e.name}", "", f"**{title}**", "", "```text", formula.replace("`", ""), "```", ""]
    lines += [e.part(r"\n\n", r"\n?Use it "), "", e.when, ""]
    lines += ["Limits: " + e.part(r"Limits:", r"\nSource:"), ""]
    statistic = e.cls.batch_statistic
    if statistic:
        when = "" if statistic is True else f" if `{statistic}` is above 0"
        cut = "gradient accumulation" if e.gathered else "gradient accumulation, several ranks"
        lines += [f"It compares the examples of a batch{when}, so {cut} and text data are refused.", ""]
    if e.options:
        lines += ["| option | default | range, source |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | `{default}` | {comment} |" for name, default, comment in e.options] + [""]
    lines += ["Source: " + e.part(r"\nSource:", r"\Z"), ""]
    if isinstance(e.loss, LogitLoss):
        lines += [f"![loss and gradient](losses/{e.name}.png)", ""]
    return "\n".join(lines)


def curve(loss: LogitLoss, level: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) target logits -> (M,), (M,): the loss of each alone, and its derivative by that logit."""
    z = torch.stack([level, *(torch.full_like(level, other) for other in OTHERS)], -1).requires_grad_()
    teacher = (torch.tensor([TEACHER]).to(level),) if isinstance(loss, DistillationLoss) else ()
    value = torch.func.vmap(lambda one: loss(one[None], *teacher, torch.tensor([0]))[0])(z)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient[:, 0]


def draw(e: Entry, reference: LogitLoss) -> None:
    from matplotlib.figure import Figure

    level = torch.linspace(-6, 6, 600, dtype=torch.float64)
    figure = Figure(figsize=(6.4, 2.4), dpi=100, layout="constrained", facecolor="white")
    for axes, own, ce, label in zip(
        figure.subplots(1, 2), curve(e.loss, level), curve(reference, level), ("loss", "d loss / d $z_y$"), strict=True
    ):
        axes.plot(level, ce, color=GREY, linestyle="--", linewidth=1.2, label="ce")
        axes.plot(level, own, color=BLUE, linewidth=2, label=e.name)
        axes.axvline(0, color=GREY, linestyle=":", linewidth=1)
        low, high = min(own.min(), ce.min()), max(own.max(), ce.max())
        if high - low > 4 * (ce.max() - ce.min()):  # a steep loss would flatten all else
            low, high = max(low, 4 * ce.min() - 1), min(high, 2.5 * ce.max() + 1)
        axes.set(xlabel="$z_y$", ylabel=label, ylim=(low - 0.05 * (high - low), high + 0.05 * (high - low)))
        axes.set_xticks(range(-6, 7, 3))
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(PICTURES / f"{e.name}.png", metadata={"Software": None})


def main() -> None:
    PAGE.write_text(page())
    PICTURES.mkdir(exist_ok=True)
    every = entries(LogitLoss)
    for e in every:
        draw(e, next(other.loss for other in every if other.name == "ce"))


if __name__ == "__main__":
    main()
