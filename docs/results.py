"""Draw the picture of results.md, accuracy against the share of wrong labels, from the report of a finished sweep.

python train.py ablation=mnist_label_noise
python report.py runs/mnist_label_noise
python docs/results.py runs/mnist_label_noise
"""

import csv
import re
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.figures.style import BLUE, GREEN, VERMILION, canvas, save, sharp, styled

OUT = Path(__file__).with_suffix("") / "label_noise.png"
COLOURS = {"ce": BLUE, "generalized_ce": VERMILION, "symmetric_ce": GREEN}
LABEL = re.compile(r"(?P<loss>\w+)(?: alpha=\S+)? label_noise=(?P<rate>\S+)(?P<best> best=true)?")
Curves = dict[tuple[str, bool], list[tuple[float, float, float, float]]]  # loss, best epoch? -> rate, mean, low, high


def main() -> None:
    OUT.parent.mkdir(exist_ok=True)
    save(sharp(accuracies(curves(Path(sys.argv[1]) / "report" / "report.csv"))), OUT)


def curves(report: Path) -> Curves:
    found: Curves = {}
    with report.open(newline="") as file:
        for row in csv.DictReader(file):
            label = LABEL.fullmatch(row["loss"])
            if label and row["metric"] == "accuracy" and row["mean"]:  # a claim's row has a difference only
                mean, low, high = (float(row[key]) for key in ("mean", "low", "high"))
                found.setdefault((label["loss"], bool(label["best"])), []).append(
                    (float(label["rate"]), mean, low, high)
                )
    return {key: sorted(points) for key, points in found.items()}


@styled
def accuracies(found: Curves) -> Figure:
    """A line for each loss, solid at the last epoch and dashed at the best one, with 95 % intervals."""
    figure = canvas(4.8, 2.9)
    axes = figure.subplots()
    for (loss, best), points in sorted(found.items()):
        rates, means, lows, highs = zip(*points, strict=True)
        label = f"{loss}, {'best' if best else 'last'} epoch"
        ends = [np.subtract(means, lows), np.subtract(highs, means)]
        axes.errorbar(rates, means, ends, fmt=":" if best else "-o", color=COLOURS[loss], markersize=3, label=label)
    axes.set(xlabel="share of wrong training labels", ylabel="test accuracy", xticks=rates)
    axes.legend(loc="lower left", handlelength=3)
    return figure


if __name__ == "__main__":
    main()
