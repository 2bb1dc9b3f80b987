"""Make and gather the pictures of diffusion.md, from a finished sweep.

python train.py ablation=mnist_denoising
python docs/diffusion.py runs/mnist_denoising
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.figures.style import BLUE, GREEN, VERMILION, canvas, save, sharp, styled

OUT = Path(__file__).with_suffix("")
COLOURS = {"noise": BLUE, "x0": VERMILION, "v": GREEN}
WEIGHTS = ("simple", "min_snr")


def main() -> None:
    runs = {}
    for path in sorted(Path(sys.argv[1]).glob("*/seed0")):
        loss = yaml.safe_load((path / "config.yaml").read_text())["loss"]
        runs[loss["predict"], loss["weight"]] = path
    OUT.mkdir(exist_ok=True)
    times = {key: json.loads((path / "result.json").read_text())["times"] for key, path in runs.items()}
    save(sharp(by_time(times)), OUT / "times.png")
    save(sharp(side_by_side(runs)), OUT / "samples.png")
    shutil.copyfile(runs["x0", "min_snr"] / "figures/chain.png", OUT / "chain.png")


@styled
def by_time(times: dict[tuple[str, str], dict[str, Any]]) -> Figure:
    """The share of each loss that is found in each part of time, and the bits of the bound there."""
    figure = canvas(7.6, 2.6)
    panels = figure.subplots(1, 3)
    for (predict, weight), found in times.items():
        edges = np.array([0, *found["until"]], float) + 1
        loss = np.array(found["loss"]) * np.diff(edges)
        axes = panels[WEIGHTS.index(weight)]
        axes.stairs(loss / loss.sum(), edges, baseline=None, color=COLOURS[predict], label=predict, linewidth=1.8)
        axes.set(title=f"weight={weight}", ylabel="share of the loss", ylim=(0, 0.8))
        style = "-" if weight == "simple" else ":"
        panels[2].stairs(found["bits"], edges, baseline=None, color=COLOURS[predict], linestyle=style, linewidth=1.8)
    panels[2].set(title="dotted: min_snr", ylabel="bits of the bound", yscale="log")
    for axes in panels:
        axes.set(xscale="log", xlabel="time step, from image to noise")
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
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
