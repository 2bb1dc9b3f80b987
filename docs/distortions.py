"""Prints what judges see in real training images that were changed in a known way: the tables of docs/generated.md.

python docs/distortions.py JUDGE_RUN [JUDGE_RUN ...]: finished classifiers of one data set, which is read again.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.system import torchvision_cpu  # noqa: F401  before Lightning, which imports torchvision

# isort: split
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from src.folder.folder import RunFolder
from src.metrics.generated import coverage, frechet_distance, kernel_gaps, memorised, precision
from src.runs import build
from src.runs.rebuild import rebuild
from src.tasks.judge import Judge

NAMES = ("coverage", "kernel distance x 1000", "precision", "Fréchet distance", "memorised")
BATCH = 500
Features = Callable[[Tensor], Tensor]


def blurred(images: Tensor) -> Tensor:
    """(N, C, H, W): each pixel the mean of the 3 x 3 around it."""
    return avg_pool2d(pad(images, (1, 1, 1, 1)), 3, 1)


def distorted(pool: Tensor, classes: Tensor, test: Tensor, n: int, g: torch.Generator) -> dict[str, Tensor]:
    """Name -> n images from 0 to 1, of a ``pool`` of real ones in random order."""
    first, last, some = pool[:n], classes.max(), n // 2
    noise = torch.randn(first.shape, generator=g)
    return {
        "real ones": first,
        "others": pool[n : 2 * n],
        "none of the last class": pool[classes != last][:n],
        "half of the second class": torch.cat([pool[classes == 1][:some], pool[classes != 1][: n - some]]),
        "noise, deviation 0.2": first + 0.2 * noise,
        "noise, deviation 0.5": first + 0.5 * noise,
        "3 x 3 blur": blurred(first),
        f"{n // 10} images, ten times each": first[: n // 10].repeat(10, 1, 1, 1),
        f"first {n} of the test file": test[:n],
    }


def table(features: Features, images: dict[str, tuple[Tensor, Tensor]], n: int, seed: int) -> dict[str, list[float]]:
    """Name of a distortion -> the values of NAMES; the reference are n test images, drawn at random."""
    g = torch.Generator().manual_seed(seed)
    (train, classes), (test, _) = images["train"], images["test"]
    order = torch.randperm(len(train), generator=g)
    pool, known = train[order[: len(train) // 2]], features(train[order[len(train) // 2 :]])
    made = distorted(pool, classes[order[: len(pool)]], test, n, g)
    real = features(test[torch.randperm(len(test), generator=g)[:n]])
    found = {}
    for name, changed in made.items():
        of = features(changed)
        shares = [kind(real, of).double().mean().item() for kind in (coverage, precision)]
        distance, seen = 1000 * kernel_gaps(real, of).mean().item(), memorised(known, of).double().mean().item()
        found[name] = [shares[0], distance, shares[1], frechet_distance(real, of), seen]
    return found


def judged(place: Path, root: str | None, n: int, seed: int) -> tuple[dict[str, list[float]], float]:
    """The table by one judge, and its accuracy on the test split."""
    folder = RunFolder(place)
    cfg, run = folder.read_config(), rebuild(place)
    cfg["data"] |= {"root": root} if root else {}
    data = build.build_data(cfg)
    data.load()
    mean, std = (torch.tensor(values)[:, None, None] for values in (run.spec.mean, run.spec.std))
    judge = Judge(model=run.model, loss=run.loss, scale=None, shift=None)

    def features(images: Tensor) -> Tensor:
        return torch.cat([judge.features((part - mean) / std)[0] for part in images.split(BATCH)])

    images = {split: (x[:].float() / 255, y[:]) for split, (x, y) in data.splits.items()}
    return table(features, images, n, seed), folder.read_result()["metrics"]["test"]["accuracy"]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("judges", nargs="+", type=Path)
    words.add_argument("--root", help="the folder of the data set, if it is not where the run found it")
    words.add_argument("--n", type=int, default=2000)
    asked = words.parse_args()
    found, accuracies = zip(
        *(judged(place, asked.root, asked.n, i) for i, place in enumerate(asked.judges)), strict=True
    )
    print(f"accuracy of the judges: {', '.join(f'{value:.4f}' for value in accuracies)}; n = {asked.n}\n")
    print(f"| made images | {' | '.join(NAMES)} |\n|{' --- |' * (len(NAMES) + 1)}")
    for name in found[0]:
        columns = zip(*(one[name] for one in found), strict=True)
        print(f"| {name} | {' | '.join(spread(values) for values in columns)} |")


def spread(values: tuple[float, ...]) -> str:
    """The least and the largest."""
    digits = 3 if max(map(abs, values)) < 1.5 else 1
    ends = dict.fromkeys(f"{value:.{digits}f}" for value in (min(values), max(values)))
    return " to ".join(ends)


if __name__ == "__main__":
    main()
