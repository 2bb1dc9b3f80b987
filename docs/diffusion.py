"""Make and gather the pictures of diffusion.md, from a finished sweep; with a judge, print what it says of the images.

python train.py ablation=mnist_denoising
python docs/diffusion.py runs/mnist_denoising
python docs/diffusion.py runs/mnist_denoising RUN_FOLDER    # of a classifier of MNIST
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from src.data.base import generator
from src.figures.style import BLUE, GREEN, VERMILION, canvas, save, sharp, styled
from src.metrics.generated import coverage, precision
from src.runs import build
from src.runs.rebuild import rebuild
from src.runs.teacher import fitted

OUT = Path(__file__).with_suffix("")
COLOURS = {"noise": BLUE, "x0": VERMILION, "v": GREEN}
WEIGHTS = ("simple", "min_snr")
COMPARED = 1000  # images made by each run, and of the test


def main() -> None:
    if len(sys.argv) > 2:
        return table()
    runs = runs_of("seed0")
    OUT.mkdir(exist_ok=True)
    times = {key: json.loads((path / "result.json").read_text())["times"] for key, path in runs.items()}
    save(sharp(by_time(times)), OUT / "times.png")
    save(side_by_side(runs), OUT / "samples.png")
    shutil.copyfile(runs["x0", "min_snr"] / "figures/chain.png", OUT / "chain.png")
    return None


def runs_of(seed: str) -> dict[tuple[str, str], Path]:
    found = {}
    for path in sorted(Path(sys.argv[1]).glob(f"*/{seed}")):
        loss = yaml.safe_load((path / "config.yaml").read_text())["loss"]
        found[loss["predict"], loss["weight"]] = path
    return found


def table() -> None:
    for seed in range(3):
        for key, path in runs_of(f"seed{seed}").items():
            if (path / "weights.safetensors").is_file():
                print(seed, *key, *compared(path), flush=True)


@torch.no_grad()
def compared(path: Path) -> list[str]:
    """Coverage and precision of images that a run made, among test images, in the features of the judge."""
    run, cfg = rebuild(path), yaml.safe_load((path / "config.yaml").read_text())
    data = build.build_data(cfg)
    spec = build.load(data)
    task = build.construct(cfg, "task", spec=spec, model=run.model, loss=run.loss)
    judge = fitted(rebuild(Path(sys.argv[2])), spec, "judge", sys.argv[2])
    images = data.splits["test"][0]
    real = data.normalise(images[torch.randperm(len(images), generator=generator("real images"))[: 2 * COMPARED]])
    made = task.spec.standardised(task.generate(COMPARED, seed=0))
    ours, theirs, others = (judge.features(x)[0] for x in (made, real[:COMPARED], real[COMPARED:]))
    return [f"{of(theirs, x).double().mean():.3f}" for x in (ours, others) for of in (coverage, precision)]


@styled
def by_time(times: dict[tuple[str, str], dict[str, Any]]) -> Figure:
    """The share of each loss that is found in each part of time, and the bits of the bound there."""
    figure = canvas(7.6, 2.6)
    panels = figure.subplots(1, 3)
    for predict, weight in ((p, w) for w in WEIGHTS for p in COLOURS):
        found = times[predict, weight]
        edges = np.array([0, *found["until"]], float) + 1
        loss = np.array(found["loss"]) * np.diff(edges)
        axes = panels[WEIGHTS.index(weight)]
        axes.stairs(loss / loss.sum(), edges, baseline=None, color=COLOURS[predict], label=predict, linewidth=1.8)
        axes.set(title=f"weight={weight}", ylabel="share of the loss", ylim=(0, 0.9))
        style = "-" if weight == "simple" else ":"
        panels[2].stairs(found["bits"], edges, baseline=None, color=COLOURS[predict], linestyle=style, linewidth=1.8)
    panels[2].set(title="dotted: min_snr", ylabel="bits of the bound", yscale="log")
    for axes in panels:
        axes.set(xscale="log", xlabel="time step (1: image)")
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    panels[2].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panels[0].legend(loc="upper left")
    return figure


@styled
def side_by_side(runs: dict[tuple[str, str], Path]) -> Figure:
    """The 16 images that each run made of the same noise."""
    figure = canvas(6.6, 4.7)
    for axes, (predict, weight) in zip(
        figure.subplots(2, 3).flat, ((p, w) for w in WEIGHTS for p in COLOURS), strict=True
    ):
        (*_, last) = sorted((runs[predict, weight] / "samples").glob("*.png"))
        axes.imshow(Image.open(last), cmap="gray", vmin=0, vmax=255)
        axes.set(title=f"{predict}, {weight}")
        axes.set_axis_off()
    return figure


if __name__ == "__main__":
    main()
