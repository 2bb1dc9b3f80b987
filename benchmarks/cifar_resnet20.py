"""CIFAR-10 as JPEG files by ResNet-20, batch 128: the bare loop and the usual way.

python benchmarks/cifar_resnet20.py bare|usual --data-root FOLDER [--steps 30] [--workers 2] [--compile] [--bf16] ...

FOLDER holds train/CLASS/*.jpg; a stratified tenth of it validates. SGD with momentum 0.9, learning rate 0.1, weight
decay 1e-4 on matrices and convolutions, random crops after padding by 4, mirrored half the time.

bare: all files decoded once, kept in the user's cache folder; per step: index, crop and mirror the batch at once,
standardise, forward, loss, backward, fused SGD. No metrics, no log, no checkpoint; after ``--val-every`` steps the nll
of the validation split (``--val-batches`` batches of 1,000).
usual: ImageFolder, RandomCrop, RandomHorizontalFlip, ToTensor and Normalize for each example, DataLoader, a plain
LightningModule with torchmetrics' accuracy and ``self.log`` at each step, Lightning's default logger, progress bar and
checkpoint.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import sides

SPLIT, BATCH, EVAL_BATCH, PAD, SIZE = 0.1, 128, 1000, 4, 32
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def model() -> torch.nn.Module:
    return sides.network("resnet", input_shape=(3, SIZE, SIZE), num_classes=10, outputs=10, depth=20)


def optimizer(network: torch.nn.Module, **how: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(sides.decay_groups(network, 1e-4), lr=0.1, momentum=0.9, **how)


def decoded(root: Path) -> tuple[Tensor, Tensor]:
    """All images (N, 3, 32, 32) uint8 and labels, from the cache if they are there."""
    from torchvision.datasets import ImageFolder

    files = ImageFolder(str(root / "train")).samples
    key = hashlib.sha256(f"{root.resolve()}\0{len(files)}".encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "xent" / "benchmarks"
    if not (home / key).exists():
        home.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as pool:
            images = torch.stack(list(pool.map(pixels, (path for path, _ in files))))
        torch.save((images, torch.tensor([label for _, label in files])), home / f"{key}.{os.getpid()}")
        (home / f"{key}.{os.getpid()}").replace(home / key)
    images, labels = torch.load(home / key, weights_only=True)
    return images, labels


def pixels(path: str) -> Tensor:
    from PIL import Image

    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def augmented(padded: Tensor, offsets: Tensor) -> Tensor:
    """(B, 3, 40, 40) -> (B, 3, 32, 32), channels last in memory."""
    batch, device = len(padded), padded.device
    shift = torch.randint(2 * PAD + 1, (2, batch, 1), device=device)
    rows, columns = offsets + shift[0], offsets + shift[1]
    mirrored = torch.rand(batch, 1, device=device) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    every = torch.arange(batch, device=device)[:, None, None]
    return padded[every, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def bare(given: argparse.Namespace) -> None:
    images, labels = (part.to(given.device) for part in decoded(given.data_root))
    train, val = (rows.to(given.device) for rows in sides.held_out(labels.cpu(), SPLIT))
    mean, std = (torch.tensor(values, device=given.device)[:, None, None] for values in (MEAN, STD))
    layout = torch.channels_last if given.channels_last else torch.contiguous_format

    def ready(x: Tensor) -> Tensor:
        return ((x.float() / 255 - mean) / std).contiguous(memory_format=layout)

    batches = [(ready(images[rows]), labels[rows]) for rows in val.split(EVAL_BATCH)][: given.val_batches]
    padded, offsets = F.pad(images, [PAD] * 4), torch.arange(SIZE, device=given.device)
    del images
    network = model().to(given.device)
    loss, step_by = sides.switched(network, given), optimizer(network, fused=True)
    sides.validate(network, loss, batches)  # compiles what is to be compiled
    clock, done = sides.Clock(given), 0
    while done < given.steps:
        for rows in train[torch.randperm(len(train)).to(given.device)].split(BATCH)[: len(train) // BATCH]:
            loss(ready(augmented(padded[rows], offsets)), labels[rows]).backward()
            step_by.step()
            step_by.zero_grad()
            done += 1
            clock.step(done)
            if done % given.val_every == 0 or done == given.steps:
                nll = sides.validate(network, loss, batches)
            if done == given.steps:
                break
    sides.report(clock.stop(), nll)


def loaders(given: argparse.Namespace) -> tuple[Any, Any]:
    """DataLoaders of training and validation, as they are usually written."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    change = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    random = [transforms.RandomCrop(SIZE, PAD), transforms.RandomHorizontalFlip()]
    folder = str(given.data_root / "train")
    train = ImageFolder(folder, transforms.Compose(random + change))
    val = ImageFolder(folder, transforms.Compose(change))
    train_rows, val_rows = (rows.tolist() for rows in sides.held_out(torch.tensor(train.targets), SPLIT))
    how = {"num_workers": given.workers, "persistent_workers": given.workers > 0, "pin_memory": given.device == "cuda"}
    return (
        DataLoader(Subset(train, train_rows), BATCH, shuffle=True, drop_last=True, **how),
        DataLoader(Subset(val, val_rows), EVAL_BATCH, **how),
    )


def usual(given: argparse.Namespace) -> None:
    from benchmarks.usual import train

    train(given, model(), optimizer, *loaders(given))


def main(arguments: Sequence[str] | None = None) -> None:
    given = sides.options(__doc__, steps=30, measured_from=10, arguments=arguments)
    {"bare": bare, "usual": usual}[given.side](given)


if __name__ == "__main__":
    main()
