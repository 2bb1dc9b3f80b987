"""MNIST by an MLP 784-64-128-64-10, batch 128: the bare loop and the usual way.

python benchmarks/mnist_mlp.py bare|usual --data-root FOLDER [--steps 429] [--workers 2] [--compile] [--bf16]

bare: all images on the device as standardised tensors; per step: index, forward, loss, backward, fused AdamW. No
metrics, no log, no checkpoint; after ``--val-every`` steps the nll of the validation split.
usual: torchvision's data set, ToTensor and Normalize for each example, DataLoader, a plain LightningModule with
torchmetrics' accuracy and ``self.log`` at each step, Lightning's default logger, progress bar and checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import sides

SPLIT = 1 / 12  # 55,000 images train, 5,000 validate
BATCH, EVAL_BATCH = 128, 1000
MEAN, STD = 0.1307, 0.3081
LR, WEIGHT_DECAY = 2e-3, 0.01


def model() -> torch.nn.Module:
    sizes = {"input_shape": (1, 28, 28), "num_classes": 10, "outputs": 10, "widths": [64, 128, 64]}
    return sides.network("mlp", **sizes, batch_norm=True, dropout=0.0)


def optimizer(network: torch.nn.Module, **how: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(sides.decay_groups(network, WEIGHT_DECAY), lr=LR, **how)


def bare(given: argparse.Namespace) -> None:
    from torchvision.datasets import MNIST

    stored = MNIST(str(given.data_root), train=True)
    images = ((stored.data[:, None].float() / 255 - MEAN) / STD).to(given.device)
    labels = stored.targets.to(given.device)
    train, val = (rows.to(given.device) for rows in sides.held_out(stored.targets, SPLIT))
    batches = [(images[rows], labels[rows]) for rows in val.split(EVAL_BATCH)][: given.val_batches]
    network = model().to(given.device)
    loss, step_by = sides.switched(network, given), optimizer(network, fused=True)
    sides.validate(network, loss, batches)  # compiles what is to be compiled
    clock, done = sides.Clock(given), 0
    while done < given.steps:
        for rows in train[torch.randperm(len(train)).to(given.device)].split(BATCH)[: len(train) // BATCH]:
            loss(images[rows], labels[rows]).backward()
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
    from torchvision.datasets import MNIST

    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    stored = MNIST(str(given.data_root), train=True, transform=change)
    train, val = (Subset(stored, rows.tolist()) for rows in sides.held_out(stored.targets, SPLIT))
    how = {"num_workers": given.workers, "persistent_workers": given.workers > 0, "pin_memory": given.device == "cuda"}
    return DataLoader(train, BATCH, shuffle=True, drop_last=True, **how), DataLoader(val, EVAL_BATCH, **how)


def usual(given: argparse.Namespace) -> None:
    from benchmarks.usual import train

    def configure(network: torch.nn.Module) -> torch.optim.Optimizer:
        return optimizer(network)

    train(given, model(), configure, *loaders(given))


def main(arguments: Sequence[str] | None = None) -> None:
    given = sides.options(__doc__, steps=429, measured_from=21, arguments=arguments)
    {"bare": bare, "usual": usual}[given.side](given)


if __name__ == "__main__":
    main()
